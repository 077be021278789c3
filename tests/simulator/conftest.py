"""Gives tests a running simulator with a receiver for its webhooks."""

import functools
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "infra")]

from simulator import media  # noqa: E402  (these need the path)
from simulator_world import World, running_world  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def encode_each_clip_once() -> Iterator[None]:
    """Each test has a simulator of its own, but what it would encode is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(media, "render_clip", functools.cache(media.render_clip))
        yield


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with running_world() as running:
        yield running
