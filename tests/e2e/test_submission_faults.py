"""Submitting costs money: tried again only where it was certainly not taken, and never sent twice otherwise."""

import pytest
from client import Api, Job, Simulator, Watcher

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def answered(simulator: Simulator, job: Job) -> list[int | str | None]:
    """What the job's create calls were answered."""
    return [create["answered"] for create in await simulator.creates(job.prompt)]


async def assert_whole(api: Api, simulator: Simulator, job: Job) -> None:
    video = await simulator.video(job.prompt)
    assert (await api.download(job.id)).content == await simulator.content(video["id"])


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(429, marks=pytest.mark.job("create=rate_limited times=2 retry_after=3"), id="429"),
        pytest.param(503, marks=pytest.mark.job("create=unavailable times=2 retry_after=3"), id="503"),
    ],
)
async def test_a_refusal_for_the_moment_is_tried_again_when_the_provider_says(
    status: int, api: Api, simulator: Simulator, job: Job
) -> None:
    await job.completed()
    assert await answered(simulator, job) == [status, status, 200]
    times = [create["at"] for create in await simulator.creates(job.prompt)]
    assert min(later - earlier for earlier, later in zip(times, times[1:], strict=False)) >= 3, times
    await assert_whole(api, simulator, job)


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param("hung", marks=pytest.mark.job("create=timeout_after"), id="never answered"),
        pytest.param("reset", marks=pytest.mark.job("create=reset_after"), id="connection reset"),
        # What was asked for comes back in another type.
        pytest.param("hung", marks=pytest.mark.job("create=timeout_after shape=numbers"), id="seconds as a number"),
    ],
)
async def test_a_submission_that_was_taken_without_an_answer_is_found_again(
    outcome: str, api: Api, simulator: Simulator, job: Job
) -> None:
    await job.completed()
    assert await answered(simulator, job) == [outcome], "it is not sent a second time"
    await assert_whole(api, simulator, job)


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param("hung", marks=pytest.mark.job("create=timeout_before"), id="never answered"),
        pytest.param(500, marks=pytest.mark.job("create=error_500"), id="500"),
        pytest.param(502, marks=pytest.mark.job("create=bad_gateway"), id="502"),
    ],
)
async def test_a_submission_of_unknown_outcome_is_not_repeated(
    outcome: int | str, api: Api, simulator: Simulator, job: Job
) -> None:
    failed = await job.end()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "submit_outcome_unknown")
    assert failed["error"]["retryable"] and "not sent twice" in failed["error"]["message"]
    assert await answered(simulator, job) == [outcome]
    assert (await api.download(job.id)).redirect.status == 410


@pytest.mark.job("create=refused")
async def test_a_refusal_fails_the_job_at_once_with_the_provider_s_reason(
    api: Api, simulator: Simulator, job: Job
) -> None:
    failed = await job.end()
    assert failed["error"] == {
        "code": "provider_refused",
        "message": "The request was refused, as the simulator was asked.",
        "retryable": False,
    }
    assert await answered(simulator, job) == [400]


async def test_what_the_provider_can_t_make_fails_with_its_words(api: Api, watcher: Watcher) -> None:
    job_id = await api.create("A bell that lasts too long", seconds="7")
    await watcher.subscribe(job_id)
    failed = await watcher.end_of(job_id)
    assert failed["error"]["code"] == "provider_refused" and "'7'" in failed["error"]["message"]
