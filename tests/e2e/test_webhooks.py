"""Webhooks only hint: lost, late, early, doubled, out of order or wrongly signed, the job ends the same way."""

import asyncio
import secrets

import pytest
from client import Api, Job, Simulator, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def event_of(api: Api, video_id: str, type: str = "video.completed") -> dict:
    """The one event of this type about the video, once it is known what became of it."""

    async def processed() -> dict | None:
        events = [event for event in await api.events_of(video_id) if event["type"] == type]
        return events[0] if len(events) == 1 and events[0]["outcome"] != "received" else None

    return await eventually(f"one processed {type} of {video_id} in the audit trail", processed)


async def answers(simulator: Simulator, video_id: str, count: int) -> list[int | None]:
    """What the deliveries about a video were answered, once there are so many."""

    async def all_there() -> list[dict] | None:
        deliveries = await simulator.deliveries(video_id)
        return deliveries if len(deliveries) >= count else None

    return [delivery["status"] for delivery in await eventually(f"{count} deliveries of {video_id}", all_there)]


async def assert_told_once_and_whole(job: Job, api: Api, simulator: Simulator) -> str:
    """The end that every fault here must have. Gives the video's id."""
    await job.completed()
    told = [message["version"] for message in job.messages if message["type"] == "progress"]
    assert told == sorted(set(told)), "each version is told once, in order"
    video = await simulator.video(job.prompt)
    assert video["contentFetches"] == 1
    assert (await api.download(job.id)).content == await simulator.content(video["id"])
    return video["id"]


async def assert_still_completed(job: Job, api: Api) -> None:
    assert (await api.status(job.id)).body["status"] == "completed"
    ends = [message for message in job.messages if message["status"] in ("completed", "failed", "canceled")]
    assert [(message["type"], message["status"]) for message in ends] == [("progress", "completed")]


@pytest.mark.job("webhook=lost")
async def test_where_the_webhook_is_lost_the_looks_bring_the_job_home(api: Api, simulator: Simulator, job: Job) -> None:
    video_id = await assert_told_once_and_whole(job, api, simulator)
    assert await simulator.deliveries(video_id) == [] and await api.events_of(video_id) == []


@pytest.mark.job("webhook=early")
async def test_a_webhook_before_its_create_call_has_returned(api: Api, simulator: Simulator, job: Job) -> None:
    video_id = await assert_told_once_and_whole(job, api, simulator)
    assert len(await simulator.creates(job.prompt)) == 1
    event = await event_of(api, video_id)
    # Whether its job is known when the event is looked at is a race, and of no account for the end.
    assert event["outcome"] in ("unmatched", "applied", "no_change") and event["deliveries"] >= 1


@pytest.mark.job("webhook=late webhook_delay=9")
async def test_a_webhook_long_after_the_end_changes_nothing(api: Api, simulator: Simulator, job: Job) -> None:
    video_id = await assert_told_once_and_whole(job, api, simulator)
    assert await simulator.deliveries(video_id) == [], "the looks were first"
    assert (await event_of(api, video_id))["outcome"] == "no_change"
    await assert_still_completed(job, api)


@pytest.mark.job("webhook=twice")
async def test_a_webhook_that_comes_twice_at_once_is_one_event(api: Api, simulator: Simulator, job: Job) -> None:
    video_id = await assert_told_once_and_whole(job, api, simulator)
    assert await answers(simulator, video_id, 2) == [200, 200]
    event = await event_of(api, video_id)
    assert (event["outcome"], event["deliveries"]) == ("applied", 2)
    await assert_still_completed(job, api)


@pytest.mark.job("webhook=out_of_order")
async def test_a_stray_event_that_says_the_opposite_is_not_believed(api: Api, simulator: Simulator, job: Job) -> None:
    video_id = await assert_told_once_and_whole(job, api, simulator)
    stray = await event_of(api, video_id, "video.failed")
    assert stray["outcome"] == "no_change"
    assert (await event_of(api, video_id))["outcome"] == "applied"
    await assert_still_completed(job, api)


@pytest.mark.job("webhook=bad_signature")
async def test_a_wrongly_signed_webhook_is_refused_and_its_retry_taken(
    api: Api, simulator: Simulator, job: Job
) -> None:
    video_id = await assert_told_once_and_whole(job, api, simulator)
    assert await answers(simulator, video_id, 2) == [400, 200]
    event = await event_of(api, video_id)
    assert event["deliveries"] == 1, "what is wrongly signed leaves no trace"
    await assert_still_completed(job, api)


@pytest.mark.job("webhook=slow webhook_seconds=2")
async def test_a_webhook_that_arrives_byte_by_byte_is_taken(api: Api, simulator: Simulator, job: Job) -> None:
    video_id = await assert_told_once_and_whole(job, api, simulator)
    assert await answers(simulator, video_id, 1) == [200]
    assert (await event_of(api, video_id))["outcome"] == "applied"


@pytest.mark.job("render=4 webhook=lost")
async def test_an_event_that_lies_is_checked_with_the_provider(api: Api, simulator: Simulator, job: Job) -> None:
    """Rightly signed, and before its time: `completed` is what the provider says when asked, not what the event says."""

    async def taken() -> list[dict]:
        return await simulator.videos(job.prompt)

    [video] = await eventually("that the provider has taken the job", taken)
    answer = await simulator.send(video["id"], "video.completed")
    assert (answer["status"], answer["body"]) == (200, '{"received":true}')
    await assert_told_once_and_whole(job, api, simulator)


@pytest.mark.job("webhook=lost render=1")
async def test_the_same_webhook_five_times_in_parallel_is_one_event(api: Api, simulator: Simulator, job: Job) -> None:
    async def rendered() -> list[dict]:
        return [video for video in await simulator.videos(job.prompt) if video["status"] == "completed"]

    [video] = await eventually("that the provider has rendered the video", rendered)
    webhook_id = f"wh_{secrets.token_hex(16)}"
    sent = await asyncio.gather(*(simulator.send(video["id"], "video.completed", webhook_id) for _ in range(5)))
    assert [(answer["status"], answer["body"]) for answer in sent] == [(200, '{"received":true}')] * 5

    await assert_told_once_and_whole(job, api, simulator)
    event = await event_of(api, video["id"])
    assert (event["webhookId"], event["deliveries"]) == (webhook_id, 5)
    assert event["outcome"] in ("applied", "no_change"), "no_change when one of the job's own looks was first"
    await assert_still_completed(job, api)
