"""One local stack for all end-to-end tests, and what they drive it with."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "infra")]

from client import Api, Job, Simulator, Watcher, unique_prompt  # noqa: E402  (these need the path)
from local import logs  # noqa: E402
from local.stack import Ports, Stack, StackError  # noqa: E402

# A short patience with the provider, so that what follows its silence comes soon. A long time for a worker: an
# unoptimised build takes half a minute to save 500 MB on a slow machine, and more on a slower one.
PARAMETERS = {"ProviderTimeout": "1", "WorkerTimeout": "120"}

STACK = pytest.StashKey[Stack]()
MOST_LOG_LINES = 300

# A line of level ERROR, or of no level: a panic.
TROUBLE = re.compile(r"^\S+  \S+ +(?!INFO |WARN )\S")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "job(faults): the test's fixture `job` is a job with these faults, begun already"
    )


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The deployed local stack, on ports that nobody uses."""
    try:
        running = Stack(Ports.free(), render_seconds=1, parameters=PARAMETERS).__enter__()
    except StackError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        request.config.stash[STACK] = running
        yield running
        _assert_no_trouble(running)
    finally:
        del request.config.stash[STACK]
        running.__exit__(None, None, None)


def _assert_no_trouble(running: Stack) -> None:
    """No fault of the provider's, and no bad input, is an error of ours: whatever the tests did, no function had any."""
    trouble = [line for line in logs.lines(running.client("logs"), running.name) if TROUBLE.match(line)]
    if trouble:
        pytest.fail("In the course of these tests, functions failed:\n" + "\n".join(trouble), pytrace=False)


# Everything asynchronous lives on the session's one event loop: mark tests with `asyncio(loop_scope="session")`.


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    # No pool: a kept connection that the server has just closed would fail a test for nothing.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as session:
        yield session


@pytest.fixture
def api(stack: Stack, http: aiohttp.ClientSession) -> Api:
    return Api(stack, http)


@pytest.fixture
def simulator(stack: Stack, http: aiohttp.ClientSession) -> Simulator:
    return Simulator(stack, http)


@pytest_asyncio.fixture(loop_scope="session")
async def watcher(stack: Stack) -> AsyncIterator[Watcher]:
    """A connected WebSocket of this test alone."""
    async with Watcher.open(stack) as connected:
        yield connected


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def jobs_of_module(
    request: pytest.FixtureRequest, stack: Stack, http: aiohttp.ClientSession
) -> AsyncIterator[dict[str, Job]]:
    """The jobs of the module's marked tests, by test. Begun all at once: what takes time in these tests is waiting."""
    marks = {
        item.nodeid: mark
        for item in request.session.items
        if item.path == request.path and (mark := item.get_closest_marker("job"))
    }
    async with Watcher.open(stack) as watcher:

        async def begin(faults: str) -> Job:
            prompt, begun = unique_prompt(faults=faults), time.time()
            job_id = await Api(stack, http).create(prompt)
            await watcher.subscribe(job_id)
            return Job(job_id, prompt, watcher, begun)

        begun = await asyncio.gather(*(begin(mark.args[0]) for mark in marks.values()))
        yield dict(zip(marks, begun, strict=True))


@pytest.fixture
def job(request: pytest.FixtureRequest, jobs_of_module: dict[str, Job]) -> Job:
    """The job that the test's mark `job` asks for."""
    return jobs_of_module[request.node.nodeid]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """To a failure belongs what the functions said meanwhile."""
    report = yield
    running = item.config.stash.get(STACK, None)
    if report.failed and running is not None:
        report.sections.append(("What the functions logged", _logs(running, call.start, item.funcargs.get("job"))))
    return report


def _logs(running: Stack, begun: float, job: Job | None) -> str:
    """Since the test began; of a job that was begun before, its own lines since then, and whatever is no routine."""
    since = int((job.begun if job else begun) * 1000)
    try:
        lines = logs.lines(running.client("logs"), running.name, since=since)
    except Exception as error:  # The stack itself may be what failed.
        return f"They can't be read: {error!r}"
    if job:
        lines = [line for line in lines if job.id in line or "  INFO " not in line]
    left_out = [f"… {len(lines) - MOST_LOG_LINES} lines before"] if len(lines) > MOST_LOG_LINES else []
    return "\n".join(left_out + lines[-MOST_LOG_LINES:])
