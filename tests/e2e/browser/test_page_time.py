"""How the page writes times."""

import pytest
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000

WRITTEN = {
    "clock": {
        -5: "0:00",
        59_999: "0:59",
        61 * SECOND: "1:01",
        HOUR + 2 * MINUTE + 9 * SECOND: "1:02:09",
    },
    "span": {
        20: "1 s",
        48_400: "48 s",
        59_700: "1 min",
        3 * MINUTE + 5 * SECOND: "3 min 5 s",
        HOUR - 1: "1 h",
        2 * HOUR + 10 * MINUTE: "2 h 10 min",
    },
    "ago": {
        -90 * SECOND: "just now",
        59 * SECOND: "59 s ago",
        59 * MINUTE: "59 min ago",
        23 * HOUR: "23 h ago",
        30 * HOUR: "yesterday",
        3 * DAY: "3 days ago",
    },
}


async def test_times_are_written_for_people(page: Page) -> None:
    await page.goto("/operator.html")
    for name, cases in WRITTEN.items():
        script = f"async (all) => {{ const time = await import('/page/time.js'); return all.map(time.{name}); }}"
        assert dict(zip(cases, await page.evaluate(script, list(cases)), strict=True)) == cases
