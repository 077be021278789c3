"""For everyone: axe-core finds nothing in any main state, light or dark, and the narrowest screen holds it all."""

from __future__ import annotations

import pytest
from axe_playwright_python.async_playwright import Axe
from client import Simulator, eventually, unique_prompt
from local.stack import Stack
from playwright.async_api import Page, expect
from videos_page import VideosPage, sound

pytestmark = pytest.mark.asyncio(loop_scope="session")

NARROW = {"width": 320, "height": 640}
# All of axe's rules, the best practices among them.
OPTIONS = {"resultTypes": ["violations"]}


async def assert_accessible(page: Page, state: str) -> None:
    """By axe-core; light and dark, without and with the animations' end."""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = await Axe().run(page, options=OPTIONS)
        assert found.violations_count == 0, f"{state}, {scheme}:\n{found.generate_report()}"


async def is_rendering(simulator: Simulator, prompt: str) -> bool:
    return any([await simulator.progress(video["id"]) > 0 for video in await simulator.videos(prompt)])


async def assert_fits(page: Page) -> None:
    before = page.viewport_size
    await page.set_viewport_size(NARROW)
    width, sticking_out = await page.evaluate(
        """() => [document.documentElement.scrollWidth, [...document.querySelectorAll("body *")]
          .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 0.5
            && !element.closest("svg, audio, video")).map((element) => element.outerHTML.slice(0, 120))]"""
    )
    assert width <= NARROW["width"] and sticking_out == []
    await page.set_viewport_size(before)


async def test_the_empty_page_and_its_form_are_for_everyone(page: Page) -> None:
    videos = await VideosPage.open(page)
    await assert_accessible(page, "empty")
    await assert_fits(page)
    await videos.submit.click()
    await videos.choose_narration(sound())
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.get_by_role("button", name="Settings").click()
    await expect(page.get_by_label("Access token")).to_be_focused()
    await assert_accessible(page, "with a narration, an error and the settings")
    await assert_fits(page)


async def test_jobs_in_every_state_are_for_everyone(page: Page, simulator: Simulator) -> None:
    videos = await VideosPage.open(page)
    done, failed, canceled = (
        unique_prompt("Done"),
        unique_prompt("Failed", "fail=error"),
        unique_prompt("Canceled", "render=600"),
    )
    await videos.ask(canceled)
    await videos.accepted(canceled)
    await videos.button(canceled, "Cancel").click()
    await videos.ask(done, size="720x1280")
    await videos.ask(failed)
    await videos.reaches(done, "completed")
    await videos.reaches(failed, "failed")
    await videos.reaches(canceled, "canceled")
    rendering = unique_prompt("A long prompt " + "with-a-word-that-never-ends" * 10, "render=30")
    await videos.ask(rendering)
    await eventually("that the provider renders it", lambda: is_rendering(simulator, rendering))
    # Any webhook has the provider looked at.
    await simulator.send((await simulator.video(rendering))["id"], "video.completed")
    await videos.reaches(rendering, "in_progress")
    await page.route("**/api/generate?*", lambda route: None)
    await videos.ask("A job that is being sent")
    await assert_accessible(page, "jobs in every state")
    await assert_fits(page)
    await videos.button(done, "Play").click()
    await expect(videos.button(done, "Play")).to_have_count(0)
    await assert_accessible(page, "playing")
    await assert_fits(page)


async def test_the_operator_s_view_is_for_everyone(page: Page, stack: Stack) -> None:
    await page.goto("/operator.html")
    await expect(page.get_by_label("Operator token")).to_be_visible()
    await assert_accessible(page, "asking for the token")
    await assert_fits(page)
    videos = await VideosPage.open(page)
    prompt = unique_prompt()
    await videos.ask(prompt)
    await videos.reaches(prompt, "completed")
    await page.goto("/operator.html")
    await page.get_by_label("Operator token").fill(stack.operator_token)
    await page.get_by_role("button", name="Follow").click()
    await expect(page.get_by_role("row").nth(1)).to_be_visible()
    await assert_accessible(page, "following")
    await assert_fits(page)
