"""A job whose end is asked for: it ends, the provider stops, and whoever was first stays first."""

from __future__ import annotations

import asyncio

import pytest
from client import Answer, Api, Message, Simulator, Watcher, eventually, unique_prompt
from local.stack import Stack
from refusals import refused

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def begin(api: Api, watcher: Watcher, faults: str) -> tuple[str, str]:
    """A watched job; gives its id and its prompt."""
    prompt = unique_prompt(faults=faults)
    job_id = await api.create(prompt)
    await watcher.subscribe(job_id)
    return job_id, prompt


async def cancel(api: Api, job_id: str) -> Answer:
    """Asks for the end of a job that is sure to be unfinished."""
    answer = await api.cancel(job_id)
    assert answer.status == 202, answer
    assert answer.body["message"] == "Canceling" and answer.body["jobId"] == job_id
    return answer


async def assert_canceled(stack: Stack, api: Api, watcher: Watcher, job_id: str) -> Message:
    """The watcher is told so, the status says so, and there is nothing to download."""
    end = await watcher.end_of(job_id)
    assert (end["status"], end["message"]) == ("canceled", "Canceled")
    assert end["progress"] < 100 and "error" not in end and "downloadUrl" not in end
    status = await api.status(job_id)
    assert (status.body["status"], status.body["version"]) == ("canceled", end["version"])
    refused(stack, (await api.download(job_id)).redirect, 410, "job_canceled", "canceled")
    return end


@pytest.mark.parametrize(
    ("faults", "state"),
    [
        pytest.param("render=600", ("queued", "Queued at the provider"), id="queued"),
        pytest.param("render=40", ("in_progress", "Rendering"), id="rendering"),
    ],
)
async def test_a_job_that_the_provider_has_is_stopped_there_and_its_watchers_are_told(
    stack: Stack, api: Api, simulator: Simulator, watcher: Watcher, faults: str, state: tuple[str, str]
) -> None:
    job_id, prompt = await begin(api, watcher, faults)
    before = await watcher.until(job_id, lambda message: (message["status"], message["message"]) == state)
    asked = await cancel(api, job_id)
    assert asked.body["version"] > before["version"]
    canceling = await watcher.until(job_id, lambda message: message["message"] in ("Canceling", "Canceled"))
    assert canceling["version"] >= asked.body["version"]
    end = await assert_canceled(stack, api, watcher, job_id)
    assert end["version"] > asked.body["version"]
    assert (await simulator.video(prompt))["deleted"]
    assert len(await simulator.creates(prompt)) == 1


async def test_a_job_that_the_provider_has_not_taken_is_never_submitted_again(
    stack: Stack, api: Api, simulator: Simulator, watcher: Watcher
) -> None:
    job_id, prompt = await begin(api, watcher, "create=rate_limited times=0 retry_after=600")
    await eventually("that the provider has refused it", lambda: simulator.creates(prompt))
    await cancel(api, job_id)
    await assert_canceled(stack, api, watcher, job_id)
    assert [create["answered"] for create in await simulator.creates(prompt)] == [429]
    assert await simulator.videos(prompt) == []


async def test_jobs_that_are_canceled_the_moment_they_are_accepted_leave_nothing_at_the_provider(
    stack: Stack, api: Api, simulator: Simulator, watcher: Watcher
) -> None:
    async def one() -> None:
        # Before its worker is called, in the middle of its submission, or after it: as it comes.
        prompt = unique_prompt(faults="render=600")
        job_id = await api.create(prompt)
        await cancel(api, job_id)
        await watcher.subscribe(job_id)
        await assert_canceled(stack, api, watcher, job_id)
        assert len(await simulator.creates(prompt)) <= 1
        videos = await simulator.videos(prompt)
        assert all(video["deleted"] for video in videos), videos

    await asyncio.gather(*(one() for _ in range(8)))


async def test_asking_twice_is_the_same_as_once(stack: Stack, api: Api, simulator: Simulator, watcher: Watcher) -> None:
    # Its lost submission holds the job for some seconds.
    job_id, prompt = await begin(api, watcher, "create=timeout_after render=600")
    answers = await asyncio.gather(*(api.cancel(job_id) for _ in range(4)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.body["version"] for answer in answers}) == 1
    assert (await cancel(api, job_id)).body == answers[0].body
    end = await assert_canceled(stack, api, watcher, job_id)
    told = {message["version"] for message in watcher.messages(job_id) if message["message"] == "Canceling"}
    assert told <= {answers[0].body["version"]}
    assert (await simulator.video(prompt))["deleted"]

    again = await api.cancel(job_id)
    assert (again.status, again.body["status"], again.body["version"]) == (200, "canceled", end["version"])


@pytest.mark.parametrize("faults", ["render=0", "fail=error render=0", "create=refused"])
async def test_a_finished_job_stays_as_it_is(api: Api, watcher: Watcher, faults: str) -> None:
    job_id, _ = await begin(api, watcher, faults)
    await watcher.end_of(job_id)
    before = await api.status(job_id)
    answer = await api.cancel(job_id)
    assert (answer.status, answer.body) == (200, before.body)
    assert (await api.status(job_id)).body == before.body


async def test_a_video_that_is_being_saved_is_saved(api: Api, simulator: Simulator, watcher: Watcher) -> None:
    job_id, prompt = await begin(api, watcher, "render=1 content=slow content_seconds=4")
    await watcher.until(job_id, lambda message: message["progress"] == 99)
    await cancel(api, job_id)
    end = await watcher.completed(job_id)
    assert end["progress"] == 100
    video = await simulator.video(prompt)
    assert (video["contentFetches"], video["deleted"]) == (1, False)
    assert await api.download_digest(job_id) == (video["bytes"], video["sha256"])
    assert (await api.cancel(job_id)).status == 200


async def test_a_submission_whose_answer_was_lost_is_found_again_and_stopped(
    stack: Stack, api: Api, simulator: Simulator, watcher: Watcher
) -> None:
    job_id, prompt = await begin(api, watcher, "create=timeout_after render=600")
    await eventually("that the provider has it", lambda: simulator.videos(prompt))
    await cancel(api, job_id)
    await assert_canceled(stack, api, watcher, job_id)
    [create] = await simulator.creates(prompt)
    assert create["answered"] == "hung"
    assert (await simulator.video(prompt))["deleted"]


async def test_a_provider_that_had_finished_before_is_believed(
    api: Api, simulator: Simulator, watcher: Watcher
) -> None:
    # Nobody has told yet: the webhook is lost, and the next look is seconds away.
    job_id, prompt = await begin(api, watcher, "render=0 webhook=lost")
    await watcher.until(job_id, lambda message: message["message"] == "Queued at the provider")

    async def rendered() -> bool:
        return (await simulator.video(prompt))["status"] == "completed"

    await eventually("that the provider has rendered the video", rendered)
    answer = await api.cancel(job_id)
    # On a busy machine, the look may have been first.
    assert answer.status in (200, 202), answer
    await watcher.completed(job_id)
    assert not (await simulator.video(prompt))["deleted"]
