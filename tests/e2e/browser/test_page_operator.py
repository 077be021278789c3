"""The operator's view: it follows along, row by row, with the right token."""

from __future__ import annotations

import re

import pytest
from client import Api, Simulator, eventually, unique_prompt
from local.stack import Stack
from playwright.async_api import Locator, Page, expect
from videos_page import VideosPage, look_again, look_away

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def enter(page: Page, token: str) -> None:
    await page.get_by_label("Operator token").fill(token)
    await page.get_by_role("button", name="Follow").click()


def row(page: Page, job_id: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=job_id, exact=True))


async def test_deliveries_come_in_by_themselves_and_count_up_in_place(
    page: Page, stack: Stack, api: Api, simulator: Simulator
) -> None:
    await page.clock.install()
    await VideosPage.open(page)
    await page.get_by_role("link", name="Deliveries").click()
    await expect(page.get_by_role("heading", name="Webhook deliveries", level=1)).to_be_visible()
    await enter(page, stack.operator_token)
    await expect(page.get_by_role("status", name="Following")).to_have_text("Following")

    prompt = unique_prompt()
    job_id = await api.create(prompt)

    async def shows(outcome: str, deliveries: str) -> None:
        async def look() -> bool:
            await page.clock.fast_forward(3000)
            cells = await row(page, job_id).get_by_role("cell").all_text_contents()
            return cells[3:] == [outcome, deliveries]

        await eventually(f"a row with {outcome}, {deliveries}", look)

    await shows("Applied", "1")
    await expect(row(page, job_id)).to_contain_text("video.completed")
    await expect(row(page, job_id)).to_contain_text(re.compile("just now| s ago| min ago"))
    # Newest first.
    first = page.locator("tbody").get_by_role("row").first
    await expect(first).to_contain_text(job_id)
    await first.evaluate("(row) => { row.isTheSame = true; }")

    video_id = (await simulator.video(prompt))["id"]
    [delivery] = await simulator.deliveries(video_id)
    await simulator.send(video_id, "video.completed", delivery["webhookId"])
    await shows("Applied", "2")
    assert await row(page, job_id).evaluate("(row) => row.isTheSame")

    await page.reload()
    await expect(row(page, job_id)).to_be_visible()
    await page.get_by_role("button", name="Forget the token").click()
    await expect(page.get_by_role("table")).to_have_count(0)
    await page.reload()
    await expect(page.get_by_label("Operator token")).to_be_visible()


async def test_a_wrong_token_is_told_and_not_kept(page: Page, stack: Stack, complaints) -> None:
    complaints.expect("401")
    await page.goto("/operator.html")
    await enter(page, "someone-else-s")
    await expect(page.get_by_role("alert")).to_have_text("That token is not right.")
    await expect(page.get_by_label("Operator token")).to_be_focused()
    assert await page.evaluate("sessionStorage.length") == 0
    await enter(page, stack.operator_token)
    await expect(page.get_by_role("status", name="Following")).to_have_text("Following")
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_it_rests_while_it_is_hidden_and_bears_an_api_that_is_away(page: Page, stack: Stack, complaints) -> None:
    complaints.expect("ERR_FAILED")
    await page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/events" in request.url else None)
    sign = page.get_by_role("status", name="Following")
    await page.goto("/operator.html")
    await enter(page, stack.operator_token)
    await expect(sign).to_have_text("Following")
    await page.route("**/api/webhook/events?*", lambda route: route.abort())
    await page.clock.run_for(3500)
    await expect(sign).to_have_text("Not reached, trying again")
    await page.unroute("**/api/webhook/events?*")
    await page.clock.run_for(3500)
    await expect(sign).to_have_text("Following")

    await look_away(page)
    before = len(asked)
    await page.clock.run_for(60_000)
    assert len(asked) == before
    async with page.expect_response("**/api/webhook/events?*"):
        await look_again(page)
