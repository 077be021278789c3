"""Asking for a video on the page: once is once, whatever is pressed, reloaded or refused."""

from __future__ import annotations

import base64
import json
import re

import pytest
from client import Api, Simulator, eventually, unique_prompt
from local.stack import Stack
from playwright.async_api import BrowserContext, Page, Route, expect
from videos_page import VideosPage, narration_of, sound

# An EBML header.
WEBM = bytes.fromhex("1a45dfa3")

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def stored(page: Page) -> list[dict]:
    """What this browser keeps of its jobs."""
    kept = await page.evaluate(
        "Object.entries(localStorage).filter(([key]) => key.startsWith('clipbell.job.')).map(([, text]) => text)"
    )
    return [json.loads(text) for text in kept]


async def test_a_double_click_makes_one_video(page: Page, simulator: Simulator) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt()
    await videos.prompt.fill(prompt)
    await videos.submit.dblclick()
    await videos.reaches(prompt, "completed")
    assert await videos.jobs.count() == 1
    assert len(await simulator.creates(prompt)) == 1
    await expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("got_through", [True, False], ids=["taken", "not taken"])
async def test_a_reload_before_the_answer_asks_again_under_the_same_key(
    page: Page, simulator: Simulator, got_through: bool
) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="render=1")
    keys: list[str] = []

    async def first_answer_is_lost(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 1:
            await route.continue_()
        elif got_through:
            await route.fetch()

    await page.route("**/api/generate?*", first_answer_is_lost)
    await videos.ask(prompt)
    await expect(videos.job(prompt)).to_have_attribute("data-status", "sending")
    [entry] = await stored(page)
    assert entry["prompt"] == prompt and "id" not in entry
    if got_through:
        await eventually("that the provider has it", lambda: simulator.creates(prompt))
    await page.reload()
    await videos.reaches(prompt, "completed")
    assert keys == [entry["idempotencyKey"]] * 2
    assert await videos.jobs.count() == 1
    assert len(await simulator.creates(prompt)) == 1


async def test_a_narration_file_goes_along_also_over_a_reload_before_the_answer(page: Page, stack: Stack) -> None:
    videos, prompt, audio = await VideosPage.open(page), unique_prompt(), sound()
    sent: list[str] = []

    async def first_is_lost(route: Route) -> None:
        sent.append(route.request.post_data)
        if len(sent) > 1:
            await route.continue_()

    await page.route("**/api/generate?*", first_is_lost)
    await videos.choose_narration(audio)
    await expect(page.get_by_label("Chosen narration")).to_have_js_property("error", None)
    await videos.ask(prompt)
    await expect(page.get_by_label("Chosen narration")).to_be_hidden()

    async def kept() -> bool:
        return await page.evaluate(
            """() => new Promise((resolve) => {
                const opening = indexedDB.open("clipbell", 1);
                opening.onsuccess = () => {
                  const count = opening.result.transaction("narrations").objectStore("narrations").count();
                  count.onsuccess = () => { opening.result.close(); resolve(count.result === 1); };
                };
            })"""
        )

    await eventually("that the narration is kept", kept)
    await page.reload()
    await videos.reaches(prompt, "completed")
    assert await narration_of(stack, await videos.accepted(prompt)) == audio
    assert sent[0] == sent[1]

    async def dropped() -> bool:
        return not await kept()

    await eventually("that the narration is dropped when the video is there", dropped)


async def test_a_narration_is_recorded_heard_and_sent(page: Page, stack: Stack) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt()
    recording = page.get_by_label("Recorded narration")

    async def record() -> None:
        await page.get_by_role("button", name="Record", exact=True).click()
        await expect(page.get_by_text("Recording: 0:01")).to_be_visible()
        await page.get_by_role("button", name="Stop recording").click()

    await record()
    await expect(recording).to_be_visible()
    await page.get_by_role("button", name="Remove narration").click()
    await expect(recording).to_be_hidden()
    await record()
    await expect(recording).to_have_js_property("error", None)
    async with page.expect_request("**/api/generate?*") as sending:
        await videos.ask(prompt)
    await expect(videos.job(prompt)).to_contain_text("narrated")
    kind, _, base64_text = (await sending.value).post_data_json["audioBuffer"].partition(";base64,")
    assert kind.startswith("data:audio/webm")
    arrived = await narration_of(stack, await videos.accepted(prompt))
    assert arrived == base64.b64decode(base64_text) and arrived.startswith(WEBM)


@pytest.mark.parametrize(
    ("size", "what"), [(4_000_001, r"4\.1 MB: at most 4 MB"), (0, "empty")], ids=["too large", "empty"]
)
async def test_a_narration_that_can_t_go_along_is_refused_before_it_is_sent(page: Page, size: int, what: str) -> None:
    videos = await VideosPage.open(page)
    await videos.choose_narration(bytes(size))
    await expect(page.get_by_role("alert")).to_have_text(re.compile(what))
    await expect(page.get_by_label("Chosen narration")).to_be_hidden()


async def test_nothing_is_asked_for_without_words(page: Page) -> None:
    videos = await VideosPage.open(page)
    await videos.prompt.fill("   ")
    await videos.submit.click()
    await expect(page.get_by_role("alert")).to_have_text("Say what the video should show.")
    await expect(videos.prompt).to_be_focused()
    assert await videos.jobs.count() == 0


async def test_an_order_that_is_refused_goes_back_into_the_form_with_the_reason(page: Page, complaints) -> None:
    complaints.expect("401")
    videos, prompt = await VideosPage.open(page), unique_prompt()
    tokens: list[str | None] = []

    async def asks_for_a_token(route: Route) -> None:
        tokens.append(route.request.headers.get("authorization"))
        if tokens[-1] == "Bearer of-this-browser":
            await route.continue_()
            return
        refusal = {"error": "An access token is needed: send Authorization: Bearer <token>.", "code": "unauthorized"}
        await route.fulfill(status=401, json=refusal)

    await page.route("**/api/generate?*", asks_for_a_token)
    await videos.prompt.fill(prompt)
    await videos.submit.click()
    await expect(page.get_by_role("alert")).to_contain_text("access token")
    await expect(videos.prompt).to_have_value(prompt)
    assert await videos.jobs.count() == 0 and await stored(page) == []
    # The settings have opened by themselves.
    await page.get_by_label("Access token").fill("of-this-browser")
    await page.get_by_role("button", name="Save").click()
    await videos.submit.click()
    await videos.reaches(prompt, "completed")
    assert tokens == [None, "Bearer of-this-browser"]


async def test_a_video_is_ordered_with_the_keyboard_alone(page: Page, simulator: Simulator) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt()

    async def tab_to(name: str) -> None:
        for _ in range(20):
            await page.keyboard.press("Tab")
            label = await page.evaluate(
                "document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent"
            )
            if label.strip() == name:
                return
        raise AssertionError(f"The keyboard does not get to {name}.")

    await tab_to("What should it show?")
    await page.keyboard.type(prompt)
    await tab_to("Length")
    await page.keyboard.press("1")
    await tab_to("Make the video")
    await page.keyboard.press("Enter")
    await videos.reaches(prompt, "completed")
    [create] = await simulator.creates(prompt)
    assert create["seconds"] == "12"
    await tab_to("Play")
    await page.keyboard.press("Enter")
    await expect(videos.job(prompt).locator("video")).to_be_focused()


async def test_a_prompt_is_a_text_and_never_markup(page: Page, api: Api) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt('<img src=x onerror="alert(1)"> & <b>bells</b>')
    await videos.ask(prompt)
    await expect(videos.job(prompt).get_by_role("heading")).to_have_text(prompt)
    await videos.reaches(prompt, "completed")
    await page.reload()
    await expect(videos.job(prompt).get_by_role("heading")).to_have_text(prompt)
    assert await page.locator("article img, article b").count() == 0


@pytest.mark.parametrize("trouble", ["full", "shut"])
async def test_a_browser_that_keeps_nothing_makes_videos_all_the_same(context: BrowserContext, trouble: str) -> None:
    await context.add_init_script(
        {
            "full": "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); };",
            "shut": "for (const name of ['localStorage', 'indexedDB'])"
            " Object.defineProperty(window, name, { get() { throw new DOMException('', 'SecurityError'); } });",
        }[trouble]
    )
    videos, prompt = await VideosPage.open(await context.new_page()), unique_prompt()
    await videos.ask(prompt)
    await expect(videos.page.get_by_text("This browser keeps nothing for this page")).to_be_visible()
    await videos.reaches(prompt, "completed")
    await videos.button(prompt, "Remove").click()
    await expect(videos.jobs).to_have_count(0)


async def test_what_somebody_else_left_in_the_storage_breaks_nothing(page: Page) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt()
    left = [
        {"idempotencyKey": "a", "prompt": "p"},
        {"idempotencyKey": "b", "prompt": "p", "seconds": "4", "size": 5, "createdAt": 1},
        {"idempotencyKey": "c", "prompt": "p", "seconds": "4", "size": "1x1", "createdAt": 1, "update": {"version": 1}},
        [],
    ]
    await page.evaluate(
        "(left) => left.forEach((entry, at) => localStorage.setItem(`clipbell.job.${'abcd'[at]}`, JSON.stringify(entry)))",
        left,
    )
    await page.reload()
    await videos.ask(prompt)
    await videos.reaches(prompt, "completed")
    assert await videos.jobs.count() == 1


async def test_a_long_prompt_names_its_job_by_its_beginning_and_can_be_read_whole(page: Page) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt() + " snow" * 2000
    await videos.prompt.fill(prompt)
    await videos.submit.click()
    article = videos.jobs.first
    await expect(article.get_by_role("heading")).to_have_text(prompt[:159] + "…")
    await article.get_by_text("All that was asked for").click()
    await expect(article.get_by_text(prompt, exact=True)).to_be_visible()
