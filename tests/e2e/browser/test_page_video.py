"""A finished video on the page: its picture, playing, seeking, downloading; and what is said when it can't be had."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from client import Simulator, eventually, unique_prompt
from local.stack import Stack
from playwright.async_api import Locator, Page, Response, Route, expect
from videos_page import VideosPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def seen_at(video: Locator, at_least: float, at_most: float = 1000) -> None:
    """It shows a picture of that time."""

    async def look() -> bool:
        ready, now, seeking = await video.evaluate("(video) => [video.readyState, video.currentTime, video.seeking]")
        return ready >= 2 and not seeking and at_least <= now <= at_most

    await eventually(f"the picture of second {at_least}", look)


async def test_from_the_prompt_to_a_video_that_plays_seeks_and_downloads(page: Page, simulator: Simulator) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="render=1")
    ranges: list[int] = []

    def note(answer: Response) -> None:
        if answer.request.resource_type == "media" and "X-Amz-Signature" in answer.url:
            ranges.append(answer.status)

    page.on("response", note)
    await videos.ask(prompt, seconds="4", size="720x1280")
    job = await videos.reaches(prompt, "completed")
    video = job.locator("video")
    # The picture comes by itself, the video only when it is asked for.
    await expect(video).to_have_attribute("poster", re.compile("X-Amz-Signature"))
    assert ranges == []
    await videos.button(prompt, "Play").click()
    await seen_at(video, 0.5)
    await video.evaluate("(video) => { video.pause(); video.currentTime = 3.5; }")
    await seen_at(video, 3.5, 3.5)
    await video.evaluate("(video) => { video.currentTime = 0.5; }")
    await seen_at(video, 0.5, 0.5)
    await video.evaluate("(video) => { void video.play(); }")
    await seen_at(video, 1)
    assert set(ranges) == {206}
    assert await video.evaluate("(video) => [video.videoWidth, video.videoHeight, video.error]") == [720, 1280, None]

    async with page.expect_download() as downloading:
        await job.get_by_role("link", name="Download").click()
    download = await downloading.value
    assert download.suggested_filename == f"video-{await videos.accepted(prompt)}.mp4"
    provider = await simulator.video(prompt)
    assert Path(await download.path()).read_bytes() == await simulator.content(provider["id"])


async def test_an_address_that_has_run_out_is_renewed(page: Page, complaints) -> None:
    complaints.expect("403")
    videos, prompt = await VideosPage.open(page), unique_prompt()
    addresses: list[str] = []

    async def first_has_run_out(route: Route) -> None:
        if route.request.resource_type != "media":
            await route.continue_()
            return
        answer = await route.fetch(max_redirects=0)
        addresses.append(answer.headers["location"].replace("X-Amz-Expires=900", "X-Amz-Expires=1"))
        await route.fulfill(status=302, headers={"Location": addresses[-1]})

    await page.route("**/api/download?*", first_has_run_out)
    await videos.ask(prompt)
    video = (await videos.reaches(prompt, "completed")).locator("video")
    await videos.button(prompt, "Play").click()
    await seen_at(video, 0.3)
    assert len(addresses) == 1 and await video.evaluate("(video) => video.currentSrc") != addresses[0]


async def test_a_renewed_address_goes_on_where_the_first_broke_off(page: Page) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt()
    await videos.ask(prompt)
    video = (await videos.reaches(prompt, "completed")).locator("video")
    await videos.button(prompt, "Play").click()
    await seen_at(video, 0.2)
    await video.evaluate("(video) => { video.currentTime = 2; }")
    await seen_at(video, 2)
    # What Chromium does when the bucket answers a seek with 403.
    resumed_at = await video.evaluate(
        """(video) => new Promise((resolve) => {
          video.addEventListener("playing", () => resolve(video.currentTime), { once: true });
          video.dispatchEvent(new Event("error"));
        })"""
    )
    assert resumed_at >= 2
    await expect(video).to_have_attribute("src", re.compile("X-Amz-Signature"))


async def test_a_video_that_could_not_be_begun_plays_when_it_is_asked_for_again(page: Page, complaints) -> None:
    complaints.expect("400")
    videos, prompt = await VideosPage.open(page), unique_prompt()
    await videos.ask(prompt)
    job = await videos.reaches(prompt, "completed")

    async def refused(route: Route) -> None:
        await route.fulfill(status=400, json={"error": "Not now.", "code": "not_now"})

    await page.route("**/api/download?*", refused)
    await videos.button(prompt, "Play").click()
    await expect(job).to_contain_text("Not now.")
    await page.unroute("**/api/download?*")
    await videos.button(prompt, "Play").click()
    await seen_at(job.locator("video"), 0.2)


async def test_a_video_without_a_picture_shows_the_bell(page: Page, complaints) -> None:
    complaints.expect("404")
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="thumbnail=missing")
    async with page.expect_response(re.compile("variant=thumbnail")) as asking:
        await videos.ask(prompt)
    assert (await asking.value).status == 404
    job = await videos.reaches(prompt, "completed")
    await expect(job.locator(".mark")).to_be_visible()
    await expect(videos.button(prompt, "Play")).to_be_visible()
    assert await job.locator("video").get_attribute("poster") is None


async def test_an_expired_video_is_told_honestly(page: Page, stack: Stack, complaints) -> None:
    complaints.expect("410")
    videos, prompt = await VideosPage.open(page), unique_prompt()
    await videos.ask(prompt)
    job = await videos.reaches(prompt, "completed")
    # Its picture has come; else asking for it would tell already.
    await expect(job.locator("video")).to_have_attribute("poster", re.compile("."))
    stack.client("dynamodb").update_item(
        TableName=stack.outputs["JobsTable"],
        Key={"jobId": {"S": await videos.accepted(prompt)}},
        UpdateExpression="SET #video.#end = :now",
        ExpressionAttributeNames={"#video": "video", "#end": "expiresAt"},
        ExpressionAttributeValues={":now": {"N": str(int(time.time() * 1000) - 1)}},
    )
    # Whoever plays it is told, and so is whoever comes back later.
    await videos.button(prompt, "Play").click()
    await videos.reaches(prompt, "expired")
    await page.reload()
    job = await videos.reaches(prompt, "expired")
    await expect(job).to_contain_text("This video has expired")
    await expect(job.get_by_role("link", name="Download")).to_have_count(0)
    await expect(videos.button(prompt, "Edit and ask again")).to_be_visible()
