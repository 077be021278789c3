"""The page's jobs come home: over reloads, in two tabs, over cut sockets and without any, and from the server's every answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from client import PATIENT, Api, Simulator, connection_manager, eventually, unique_prompt
from local.stack import Stack
from playwright.async_api import BrowserContext, Page, Route, WebSocketRoute, expect
from videos_page import VideosPage, look_again, look_away, narration_of, sound

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Notes whatever a progress bar shows, over reloads too.
WATCH_BARS = """
new MutationObserver(() => {
  for (const { value } of document.querySelectorAll("progress:not([hidden])")) {
    const seen = JSON.parse(sessionStorage.seen ?? "[]");
    if (seen.at(-1) !== value) sessionStorage.seen = JSON.stringify([...seen, value]);
  }
}).observe(document, { subtree: true, childList: true, attributes: true });
"""


@pytest_asyncio.fixture(loop_scope="session")
async def bars(context: BrowserContext) -> AsyncIterator[None]:
    """No bar of this test's one job has gone back."""
    await context.add_init_script(WATCH_BARS)
    yield
    for page in context.pages:
        seen = await page.evaluate("JSON.parse(sessionStorage.seen ?? '[]')")
        assert seen == sorted(seen)


def cut_all(stack: Stack, job_id: str) -> int:
    """Closes the connections that are subscribed to the job, from the server's side; says how many there were."""
    tables = stack.client("dynamodb").query(
        TableName=stack.outputs["ConnectionsTable"],
        KeyConditionExpression="jobId = :job",
        ExpressionAttributeValues={":job": {"S": job_id}},
        ConsistentRead=True,
    )
    manager = connection_manager(stack)
    cut = 0
    for item in tables["Items"]:
        try:
            manager.delete_connection(ConnectionId=item["connectionId"]["S"])
            cut += 1
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("GoneException", "410"), error
    return cut


async def test_a_job_goes_on_after_a_reload_in_the_middle(page: Page, simulator: Simulator, bars: None) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="render=40")
    await videos.ask(prompt)
    bar = videos.job(prompt).get_by_role("progressbar")
    await eventually("that the provider has it", lambda: simulator.videos(prompt))
    video_id = (await simulator.video(prompt))["id"]

    async def shown() -> int:
        return await bar.evaluate("(bar) => bar.value")

    async def gets_beyond(progress: int) -> None:
        async def rendered() -> bool:
            return await simulator.progress(video_id) > progress

        async def seen() -> bool:
            return await shown() > progress

        await eventually("more of it is rendered", rendered)
        # Any webhook has the provider looked at, sooner than the next look of our own.
        await simulator.send(video_id, "video.completed")
        await eventually("more of it is shown", seen)

    await gets_beyond(0)
    before = await shown()
    await page.reload()
    # It is there at once, with what was known.
    await expect(videos.job(prompt)).to_contain_text("Rendering", timeout=1000)
    assert await shown() >= before
    await gets_beyond(before)


async def test_two_tabs_show_the_same_and_each_follows_by_itself(context: BrowserContext, simulator: Simulator) -> None:
    one, other = [await VideosPage.open(await context.new_page()) for _ in range(2)]
    first, second = unique_prompt("First", "render=2"), unique_prompt("Second", "render=2")
    await one.ask(first)
    await expect(other.job(first)).to_be_visible()
    await other.ask(second)
    for videos in (one, other):
        await expect(videos.jobs.get_by_role("heading")).to_have_text([second, first])
        await expect(videos.sign).to_have_text("Live")
    for videos in (one, other):
        for prompt in (first, second):
            await videos.reaches(prompt, "completed")
    await other.button(first, "Remove").click()
    for videos in (one, other):
        await expect(videos.jobs.get_by_role("heading")).to_have_text([second])
    for prompt in (first, second):
        assert len(await simulator.creates(prompt)) == 1


async def test_a_job_that_was_ordered_in_a_closed_tab_is_sent_by_the_other_one(
    context: BrowserContext, simulator: Simulator
) -> None:
    one, other = [await VideosPage.open(await context.new_page()) for _ in range(2)]
    prompt = unique_prompt()
    await one.page.route("**/api/generate?*", lambda route: None)
    await one.ask(prompt)
    await expect(other.job(prompt)).to_have_attribute("data-status", "sending")
    await one.page.close()
    await other.reaches(prompt, "completed")
    assert len(await simulator.creates(prompt)) == 1


async def test_sockets_that_the_server_cuts_again_and_again_cost_nothing(page: Page, stack: Stack, bars: None) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="render=8")
    await videos.ask(prompt)
    job_id = await videos.accepted(prompt)
    for _ in range(3):
        await expect(videos.sign).to_have_text("Live")

        async def cut() -> bool:
            return cut_all(stack, job_id) > 0

        await eventually("a connection to cut", cut)
        await expect(videos.sign).to_have_text("Reconnecting")
    await videos.reaches(prompt, "completed")


async def test_a_network_that_goes_and_comes_back_brings_the_end(
    page: Page, context: BrowserContext, api: Api, complaints
) -> None:
    complaints.expect("ERR_INTERNET_DISCONNECTED")
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="render=3")
    await videos.ask(prompt)
    job_id = await videos.accepted(prompt)
    await expect(videos.sign).to_have_text("Live")
    await context.set_offline(True)
    await expect(videos.sign).to_have_text("Offline")
    while_away = unique_prompt("Asked for without a network")
    await videos.ask(while_away)
    await expect(videos.job(while_away)).to_contain_text("offline")

    async def has_ended() -> bool:
        return (await api.status(job_id)).body["status"] == "completed"

    await eventually("the end", has_ended)
    await context.set_offline(False)
    await videos.reaches(prompt, "completed")
    await videos.reaches(while_away, "completed")


async def test_without_a_websocket_polling_brings_it_home_and_the_sign_says_so(
    page: Page, complaints, bars: None
) -> None:
    complaints.expect("WebSocket")

    async def refused(socket: WebSocketRoute) -> None:
        await socket.close(code=1011, reason="no")

    await page.route_web_socket(re.compile("/ws$"), refused)
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="render=4")
    await videos.ask(prompt)
    await expect(videos.sign).to_have_text("Polling")
    await expect(videos.sign).to_have_attribute("data-connection", "polling")
    await videos.reaches(prompt, "completed")


async def test_a_job_that_ended_while_nobody_looked_is_there_when_somebody_does(
    context: BrowserContext, api: Api
) -> None:
    videos, prompt = await VideosPage.open(await context.new_page()), unique_prompt(faults="render=2")
    await videos.ask(prompt)
    job_id = await videos.accepted(prompt)
    await videos.page.close()

    async def has_ended() -> bool:
        return (await api.status(job_id)).body["status"] == "completed"

    await eventually("the end", has_ended, PATIENT)
    again = await VideosPage.open(await context.new_page())
    await again.reaches(prompt, "completed")
    await expect(again.job(prompt)).to_contain_text(re.compile(r"Made in \d+ s, "))


async def test_a_refusal_on_the_way_stops_no_job(page: Page, complaints) -> None:
    complaints.expect("403|WebSocket")
    await page.add_init_script("window.WebSocket = undefined;")
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="render=2")
    refusals = 0

    async def refused_once(route: Route) -> None:
        nonlocal refusals
        refusals += 1
        if refusals > 1:
            await route.continue_()
        else:
            await route.fulfill(status=403, json={"error": "Not from here.", "code": "forbidden"})

    await page.route("**/api/status?*", refused_once)
    await videos.ask(prompt)
    await expect(videos.job(prompt)).to_have_attribute("data-status", re.compile("queued|in_progress"))

    async def was_refused() -> bool:
        return refusals > 0

    await eventually("a refusal", was_refused)
    await page.evaluate("window.dispatchEvent(new Event('pageshow'))")
    await videos.reaches(prompt, "completed")


async def test_an_order_that_could_not_be_sent_is_sent_when_the_page_is_looked_at_again(
    page: Page, simulator: Simulator
) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt()
    # As another tab leaves it that has given up.
    await page.evaluate(
        """(prompt) => {
          const key = "clipbell.job.unsent";
          localStorage.setItem(key, JSON.stringify({
            idempotencyKey: "unsent", prompt, seconds: "4", size: "1280x720", createdAt: Date.now(), hasNarration: false,
            problem: { code: "network", message: "The API could not be reached.", retryable: true },
          }));
          window.dispatchEvent(new StorageEvent("storage", { key, storageArea: localStorage }));
        }""",
        prompt,
    )
    await videos.reaches(prompt, "unsent")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await videos.reaches(prompt, "completed")
    assert len(await simulator.creates(prompt)) == 1


async def test_a_failure_says_why_and_trying_again_makes_a_new_job(
    page: Page, simulator: Simulator, stack: Stack
) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="fail=error")
    audio = sound()
    await videos.choose_narration(audio)
    await videos.ask(prompt)
    await videos.reaches(prompt, "failed")
    first = await videos.accepted(prompt)
    await expect(videos.job(prompt)).to_contain_text("The video could not be generated. Please try again.")
    await videos.button(prompt, "Try again").dblclick()
    await expect(videos.jobs).to_have_count(2)
    await expect(videos.jobs.nth(0)).to_have_attribute("data-status", "failed")
    await expect(videos.jobs.nth(0)).not_to_have_attribute("data-job-id", first)
    await expect(videos.jobs.nth(1)).to_have_attribute("data-job-id", first)
    # The old one has been tried again, and says so instead of offering it once more.
    await expect(videos.jobs.nth(1)).to_contain_text("tried again")
    await expect(videos.jobs.nth(1).get_by_role("button", name="Try again")).to_have_count(0)
    assert len(await simulator.creates(prompt)) == 2
    again = await videos.jobs.nth(0).get_attribute("data-job-id")
    assert await narration_of(stack, again) == audio


async def test_a_failure_that_trying_again_can_t_mend_offers_to_change_the_words(page: Page) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="fail=moderation")
    await videos.ask(prompt, seconds="12", size="720x1280")
    await videos.reaches(prompt, "failed")
    await expect(videos.job(prompt)).to_contain_text("blocked by our moderation system")
    await expect(videos.button(prompt, "Try again")).to_have_count(0)
    await videos.button(prompt, "Edit and ask again").click()
    await expect(videos.prompt).to_have_value(prompt)
    await expect(videos.prompt).to_be_focused()
    await expect(page.get_by_role("combobox", name="Size")).to_have_value("720x1280")
    await expect(page.get_by_role("combobox", name="Length")).to_have_value("12")


async def test_an_order_whose_outcome_nobody_knows_warns_of_the_double_cost(page: Page) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt()
    await videos.ask(prompt)
    await videos.reaches(prompt, "completed")
    error = {"code": "submit_outcome_unknown", "message": "It is not known.", "retryable": True}
    await page.evaluate(
        """(error) => {
          const key = Object.keys(localStorage).find((name) => name.startsWith("clipbell.job."));
          const entry = JSON.parse(localStorage[key]);
          entry.update = { ...entry.update, status: "failed", message: "The video could not be made", error };
          localStorage[key] = JSON.stringify(entry);
        }""",
        error,
    )
    await page.reload()
    await expect(videos.button(prompt, "Try again, though it may cost twice")).to_be_visible()


async def test_a_job_is_canceled(page: Page, simulator: Simulator) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt(faults="render=600")
    await videos.ask(prompt)
    await eventually("that the provider has it", lambda: simulator.videos(prompt))
    await videos.button(prompt, "Cancel").click()
    await videos.reaches(prompt, "canceled")
    await expect(videos.job(prompt).get_by_role("heading")).to_be_focused()
    await expect(videos.button(prompt, "Cancel")).to_have_count(0)
    await videos.button(prompt, "Remove").click()
    await expect(videos.jobs).to_have_count(0)
    await expect(page.get_by_role("heading", name="Your videos")).to_be_focused()


async def test_a_job_that_the_server_no_longer_has_says_so(page: Page, stack: Stack, complaints) -> None:
    complaints.expect("404")
    videos, prompt = await VideosPage.open(page), unique_prompt()
    await videos.ask(prompt)
    await videos.reaches(prompt, "completed")
    key = {"jobId": {"S": await videos.accepted(prompt)}}
    stack.client("dynamodb").delete_item(TableName=stack.outputs["JobsTable"], Key=key)
    await page.reload()
    await videos.reaches(prompt, "gone")
    await expect(videos.job(prompt)).to_contain_text("no longer known")
    await expect(videos.job(prompt).get_by_role("link", name="Download")).to_have_count(0)


async def test_news_is_told_politely_and_rarely(page: Page) -> None:
    videos, prompt = await VideosPage.open(page), unique_prompt("Told")
    region = page.locator("#news")
    await expect(region).to_have_attribute("aria-live", "polite")
    await region.evaluate(
        """(region) => {
          window.told = [];
          new MutationObserver(() => told.push(region.textContent)).observe(region, { childList: true });
        }"""
    )
    await videos.ask(prompt)
    await look_away(page)
    await videos.reaches(prompt, "completed")
    await expect(page).to_have_title("Ready · Clipbell")
    await look_again(page)
    await expect(page).to_have_title("Clipbell")
    told = await page.evaluate("told")
    assert all(text.startswith("Told") for text in told)
    for message in ("Waiting for the provider", "The video is ready"):
        assert any(f": {message}" in text for text in told), told
    # Not at each percent.
    rendering = await page.evaluate(
        """async () => {
          const { announce } = await import("/page/news.js");
          const region = document.getElementById("news");
          const told = [];
          let before;
          for (let progress = 0; progress < 100; progress++) {
            const update = { status: "in_progress", message: "Rendering", progress };
            region.textContent = "";
            announce({ prompt: "Told", update }, before);
            if (region.textContent) told.push(region.textContent);
            before = update;
          }
          return told;
        }"""
    )
    assert rendering == [f"Told: Rendering, {percent} %" for percent in (0, 25, 50, 75)]


async def test_a_long_list_forgets_its_oldest_and_never_one_that_runs(page: Page) -> None:
    videos = await VideosPage.open(page)
    await page.evaluate(
        """() => {
          for (let n = 0; n < 50; n++) {
            const idempotencyKey = `old-${n}`;
            const update = { jobId: `job_${n}`, status: n === 0 ? "in_progress" : "canceled", progress: 1, message: "Canceled",
              version: 1, createdAt: "2026-01-01T00:00:00Z", updatedAt: "2026-01-01T00:00:00Z" };
            const entry = { idempotencyKey, id: n === 0 ? undefined : update.jobId, prompt: `Old ${n}`, seconds: "4",
              size: "1280x720", createdAt: n, hasNarration: false, update: n === 0 ? undefined : update,
              problem: n === 0 ? { code: "network", message: "Not reached.", retryable: true } : undefined };
            localStorage.setItem(`clipbell.job.${idempotencyKey}`, JSON.stringify(entry));
          }
        }"""
    )
    await page.route("**/api/generate?*", lambda route: None)
    await page.reload()
    await expect(videos.jobs).to_have_count(50)
    await videos.ask(unique_prompt())
    await expect(videos.jobs).to_have_count(50)
    await expect(videos.job("Old 0")).to_be_visible()
    await expect(videos.job("Old 1")).to_have_count(0)
