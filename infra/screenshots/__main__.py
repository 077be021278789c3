"""Starts a stack of its own, brings the page into its main states, and writes docs/screenshots/*.png."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import urllib.request
from json import dumps
from pathlib import Path

from local.stack import ROOT, Ports, Stack, StackError
from playwright.async_api import Browser, Locator, Page, async_playwright

from .smaller import smaller

FOLDER = ROOT / "docs" / "screenshots"
WIDE = {"width": 1280, "height": 860}
LOW = {"width": 1280, "height": 480}
HIGH = {"width": 1280, "height": 1060}
NARROW = {"width": 390, "height": 844}
PATIENCE = 60_000

DONE = "A paper boat drifts down a rain gutter, seen from just above the water"
FAILED = "A street musician at dusk plays to a crowd that slowly gathers"
LATE = "Night train through the Alps: warm windows, deep snow, one long take"
EARLY = "A baker dusts flour over dough, slow motion, light from the left"


class Studio:
    def __init__(self, stack: Stack, browser: Browser):
        self._stack = stack
        self._browser = browser

    async def page(self, **options: object) -> Page:
        context = await self._browser.new_context(
            base_url=self._stack.base_url, **{"viewport": WIDE, "reduced_motion": "reduce", **options}
        )
        page = await context.new_page()
        await page.goto("/")
        return page

    async def ask(self, page: Page, prompt: str, seconds: str = "4", **faults: object) -> Locator:
        """Asks for a video; its faults are the simulator's defaults meanwhile, so that no picture shows a directive."""
        request = urllib.request.Request(
            f"{self._stack.simulator_url}/simulator/faults", dumps(faults).encode(), method="PUT"
        )
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()
        await page.get_by_label("What should it show?").fill(prompt)
        await page.get_by_label("Length").select_option(seconds)
        await page.get_by_role("button", name="Make the video").click()
        job = page.get_by_role("article", name=prompt)
        # The faults count from when the provider has it.
        await job.get_by_text("Queued at the provider").or_(job.get_by_role("button", name="Remove")).wait_for()
        return job

    async def shoot(self, page: Page, name: str) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{name}.png"
        path.write_bytes(smaller(await page.screenshot()))
        print(f"  {path.relative_to(ROOT)}  {path.stat().st_size // 1000} kB", flush=True)


async def reaches(job: Locator, status: str) -> None:
    await job.and_(job.page.locator(f"[data-status={status}]")).wait_for(timeout=PATIENCE)


async def pictures(stack: Stack, browser: Browser) -> None:
    studio = Studio(stack, browser)
    page = await studio.page()
    await studio.shoot(page, "empty")

    done = await studio.ask(page, DONE, render=1, webhook="twice")
    await reaches(done, "completed")
    await done.locator("video[poster]").wait_for()
    failed = await studio.ask(page, FAILED, render=1, fail="error")
    await reaches(failed, "failed")
    late = await studio.ask(page, LATE, "12", render=16)
    await late.locator(".percent", has_text="%").wait_for(timeout=PATIENCE)
    await studio.ask(page, EARLY, "8", render=600)
    await page.mouse.move(0, 0)
    await page.set_viewport_size(HIGH)
    await studio.shoot(page, "videos")
    await page.emulate_media(color_scheme="dark")
    await studio.shoot(page, "videos-dark")
    await page.set_viewport_size(NARROW)
    await late.scroll_into_view_if_needed()
    await page.evaluate("document.querySelector('#videos').scrollIntoView()")
    await studio.shoot(page, "narrow-dark")

    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(WIDE)
    await reaches(late, "completed")
    await late.get_by_role("button", name="Play").click()
    await late.locator("video").evaluate(
        """(video) => new Promise((resolve) => {
          video.addEventListener("timeupdate", () => {
            if (video.currentTime < 1.2) return;
            video.pause();
            resolve();
          });
        })"""
    )
    await page.evaluate("document.querySelector('.playing').scrollIntoView({ block: 'center' })")
    await studio.shoot(page, "playing")

    await page.set_viewport_size(LOW)
    await page.goto("/operator.html")
    await page.get_by_label("Operator token").fill(stack.operator_token)
    await page.get_by_role("button", name="Follow").click()
    await page.get_by_role("row").nth(3).wait_for()
    await studio.shoot(page, "operator")


async def shoot(stack: Stack) -> None:
    path = shutil.which(os.environ.get("BROWSER", "chromium"))
    if path is None:
        raise StackError("There is no Chromium: install it, or give BROWSER=path.")
    async with async_playwright() as playwright:
        arguments = ["--autoplay-policy=no-user-gesture-required"]
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        await pictures(stack, browser)
        await browser.close()


def main() -> None:
    try:
        print("Starting a stack of its own", flush=True)
        with Stack(Ports.free()) as stack:
            asyncio.run(shoot(stack))
    except StackError as error:
        print(f"\n✗ {error}", file=sys.stderr)
        sys.exit(1)
    print(f"Look at them: {Path(FOLDER).relative_to(ROOT)}")


main()
