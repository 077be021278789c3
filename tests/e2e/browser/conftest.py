"""A real Chromium in front of the deployed local stack. Its tests fail on whatever it complains about."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from fake_api import FakeApi
from local.stack import Stack
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

ARGUMENTS = [
    # A microphone and a permission to use it.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


@dataclass
class Complaints:
    """What the browser's console said: errors, uncaught exceptions, violations of the Content-Security-Policy."""

    said: list[str] = field(default_factory=list)
    _expected: list[re.Pattern[str]] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """A complaint that the test brings about itself."""
        self._expected.append(re.compile(pattern))

    def unexpected(self) -> list[str]:
        return [line for line in self.said if not any(pattern.search(line) for pattern in self._expected)]

    def watch(self, context: BrowserContext) -> None:
        context.on("console", lambda line: self.said.append(line.text) if line.type == "error" else None)
        context.on("weberror", lambda error: self.said.append(str(error.error)))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    name = os.environ.get("BROWSER", "chromium")
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"There is no {name}: install it, or give BROWSER=path. `make test BROWSER=none` goes without.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest_asyncio.fixture(loop_scope="session")
async def context(chromium: Browser, stack: Stack, complaints: Complaints) -> AsyncIterator[BrowserContext]:
    """A browser of this test's own, with nothing in its storage."""
    context = await chromium.new_context(base_url=stack.base_url, permissions=["microphone"])
    complaints.watch(context)
    yield context
    await context.close()
    assert complaints.unexpected() == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


@pytest_asyncio.fixture(loop_scope="session")
async def clips(chromium: Browser, complaints: Complaints) -> AsyncIterator[FakeApi]:
    """A page with the client, in front of an API that the test plays. It needs no stack."""
    context = await chromium.new_context()
    complaints.expect("Failed to load resource")
    complaints.watch(context)
    yield await FakeApi.open(await context.new_page())
    await context.close()
    assert complaints.unexpected() == []
