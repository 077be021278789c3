"""Many jobs at once, slow jobs, large files: none of them at the cost of the others."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from client import PATIENT, Api, Simulator, Watcher, unique_prompt
from local.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

FUNCTION_MEMORY_KIB = 256 * 1024


async def test_fifty_jobs_at_once_are_each_made_exactly_once(stack: Stack, api: Api, simulator: Simulator) -> None:
    prompts = [unique_prompt(f"Bell {number}") for number in range(50)]
    async with contextlib.AsyncExitStack() as open_until_the_end:

        async def one(prompt: str) -> tuple[str, Watcher]:
            watcher = await open_until_the_end.enter_async_context(Watcher.open(stack))
            job_id = await api.create(prompt)
            assert (await watcher.subscribe(job_id))["type"] == "subscribed"
            return job_id, watcher

        jobs = await asyncio.gather(*map(one, prompts))
        assert len({job_id for job_id, _ in jobs}) == 50
        await asyncio.gather(*(watcher.completed(job_id, 2 * PATIENT) for job_id, watcher in jobs))
        for job_id, watcher in jobs:
            assert {message["jobId"] for message in watcher.received} == {job_id}, "nobody hears of another's job"

    ledger = await simulator.ledger()
    of_these = [create for create in ledger["creates"] if create["prompt"] in prompts]
    assert sorted(create["prompt"] for create in of_these) == sorted(prompts)
    digests = {video["prompt"]: (video["bytes"], video["sha256"]) for video in ledger["videos"]}
    for prompt, (job_id, _) in zip(prompts, jobs, strict=True):
        assert await api.download_digest(job_id) == digests[prompt]


async def test_a_slow_save_delays_nobody_else_s_news(api: Api, watcher: Watcher) -> None:
    slow = await api.create(unique_prompt(faults="render=1 content=slow content_seconds=10"))
    await watcher.subscribe(slow)
    saving = await watcher.until(slow, lambda message: message["progress"] == 99)

    others = [await api.create(unique_prompt(faults="render=1")) for _ in range(3)]
    for job_id in others:
        await watcher.subscribe(job_id)
    for job_id in others:
        await watcher.completed(job_id)
    assert watcher.messages(slow)[-1]["status"] == "in_progress", "the slow one is still being saved"

    completed = await watcher.completed(slow)
    assert completed["receivedAt"] - saving["receivedAt"] > 9
    assert (await api.download(slow)).redirect.status == 302


async def test_a_file_larger_than_the_function_s_memory_is_saved_whole(
    stack: Stack, api: Api, simulator: Simulator, watcher: Watcher
) -> None:
    prompt = unique_prompt(faults="render=1 content_mb=500")
    job_id = await api.create(prompt)
    await watcher.subscribe(job_id)
    await watcher.completed(job_id, 2 * PATIENT)
    video = await simulator.video(prompt)
    assert video["bytes"] >= 500_000_000 and video["contentFetches"] == 1
    assert await api.download_digest(job_id) == (video["bytes"], video["sha256"])

    peaks = peak_memory_kib(stack, "advance")
    if not peaks:
        pytest.skip("this system has no /proc to read the function's peak memory from")
    assert max(peaks) < FUNCTION_MEMORY_KIB, peaks


def peak_memory_kib(stack: Stack, function: str) -> list[int]:
    """The most memory that each process of a function has held so far."""
    ours = {f"AWS_LAMBDA_FUNCTION_NAME={stack.name}-{function}", f"CLIPBELL_RUN={stack.run.directory}"}
    peaks = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if ours <= set((process / "environ").read_text(errors="replace").split("\0")):
                status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
                peaks.append(int(status["VmHWM"].split()[0]))
    return peaks
