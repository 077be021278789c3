"""`make demo`: one video from prompt to file, through the real template and the real functions."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import av

from .stack import STATE, Stack, StackError

PROMPT = "A small brass bell on a workbench rings twice in the morning light"
# Long enough to see progress.
RENDER_SECONDS = 12
PATIENCE = 120
WIDTH = 30
FINAL = {"completed", "failed", "canceled"}


def demo() -> None:
    print("Starting Clipbell on this machine: the real template and functions, and a provider that is simulated.")
    begun = time.monotonic()
    with Stack(render_seconds=RENDER_SECONDS, say=lambda line: print(f"  {line}")) as stack:
        started = time.monotonic()
        job_id, rendered = asyncio.run(_watch_a_job(stack))
        downloading = time.monotonic()
        video = STATE / f"video-{job_id}.mp4"
        asyncio.run(_download(stack, job_id, video))
        downloaded = time.monotonic()
        what = _check(video)
        print(f"\nThe video: {video}\n  {what}")
        parts = {
            "build": float(os.environ.get("BUILD_SECONDS") or 0),
            "start": started - begun,
            "render and save": rendered,
            "download": downloaded - downloading,
        }
        print("It took: " + ", ".join(f"{part} {seconds:.1f} s" for part, seconds in parts.items()))
    print("\nNext: `make dev` keeps the same stack running, with a page to try; README.md says how to deploy it.")


async def _watch_a_job(stack: Stack) -> tuple[str, float]:
    """Orders a video and shows every message about it. Gives the job and the seconds it took."""
    async with aiohttp.ClientSession() as http:
        begun = time.monotonic()
        print(f"\nPOST {stack.base_url}/api/generate?renderVersion=v3")
        order = {"scriptOrQuestion": PROMPT}
        async with http.post(f"{stack.base_url}/api/generate?renderVersion=v3", json=order) as answer:
            text = await answer.text()
            if answer.status != 202:
                raise StackError(f"The order was not taken: {answer.status} {text}")
        job_id = json.loads(text)["jobId"]
        print(f"  {answer.status} after {time.monotonic() - begun:.2f} s: {job_id}\n\nWatching {stack.ws_url}")
        bar = Bar()
        try:
            async with asyncio.timeout(PATIENCE):
                last = await _watch(http, stack, job_id, bar)
        except TimeoutError:
            raise StackError(f"The job was not finished after {PATIENCE} s.") from None
        finally:
            bar.end()
        if last["status"] != "completed":
            raise StackError(f"The job ended as {last['status']}: {last.get('error')}")
        return job_id, time.monotonic() - begun


async def _watch(http: aiohttp.ClientSession, stack: Stack, job_id: str, bar: Bar) -> dict[str, Any]:
    async with http.ws_connect(stack.ws_url) as browser:
        await browser.send_json({"action": "subscribe", "jobId": job_id})
        async for message in browser:
            news = json.loads(message.data)
            if news["type"] == "error":
                raise StackError(f"The subscription was refused: {news['error']}")
            bar.show(news)
            if news["status"] in FINAL:
                return news
    raise StackError(f"The WebSocket was closed with {browser.close_code} before the job was finished.")


async def _download(stack: Stack, job_id: str, target: Path) -> None:
    url = f"{stack.base_url}/api/download?jobId={job_id}&renderVersion=v3"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        if answer.status != 200:
            raise StackError(f"The video can't be downloaded: {answer.status} {await answer.text()}")
        with target.open("wb") as file:
            async for chunk in answer.content.iter_chunked(1 << 20):
                file.write(chunk)


def _check(video: Path) -> str:
    """Plays the whole video, without showing it. Says what it is."""
    if video.read_bytes()[4:8] != b"ftyp":
        raise StackError(f"{video} is no MP4.")
    frames: Counter[str] = Counter()
    try:
        with av.open(str(video)) as container:
            for frame in container.decode():
                frames["video" if isinstance(frame, av.VideoFrame) else "audio"] += 1
            codecs = {stream.type: stream.codec_context.name for stream in container.streams}
            seconds = (container.duration or 0) / av.time_base
    except av.FFmpegError as error:
        raise StackError(f"{video} can't be played: {error}") from error
    if not frames["video"] or frames.keys() != codecs.keys():
        raise StackError(f"{video} can't be played: of its streams {codecs}, these hold frames: {dict(frames)}")
    played = ", ".join(f"{codec} {kind} ({frames[kind]} frames)" for kind, codec in codecs.items())
    return f"{video.stat().st_size / 1e6:.2f} MB, {seconds:.1f} s, played to the end: {played}"


class Bar:
    """A progress bar on a terminal; elsewhere a line for each message."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()

    def show(self, news: dict[str, Any]) -> None:
        done = WIDTH * news["progress"] // 100
        bar = "█" * done + "░" * (WIDTH - done)
        line = f"  {bar} {news['progress']:>3} %  {news['status']:<11}  {news['message']}"
        if self._live:
            # A line that wraps can't be drawn over.
            print(f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        else:
            print(line, flush=True)

    def end(self) -> None:
        if self._live:
            print()
