"""What servers of OpenAI's shape vary, and what a provider does on its bad days."""

import pytest
from client import Api, Job, Simulator, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


# First, because it has to be there when the progress falls: the jobs of this module have all begun by now.
@pytest.mark.job("status=backwards render=16")
async def test_progress_that_falls_at_the_provider_does_not_fall_in_public(
    api: Api, simulator: Simulator, job: Job
) -> None:
    async def taken() -> list[dict]:
        return await simulator.videos(job.prompt)

    [video] = await eventually("that the provider has taken the job", taken)

    async def look() -> int:
        """Has the product look now, by a webhook that says nothing true; gives the progress that it then shows."""
        sent = await simulator.send(video["id"], "video.completed")

        async def processed() -> bool:
            [event] = [event for event in await api.events_of(video["id"]) if event["webhookId"] == sent["webhookId"]]
            return event["outcome"] != "received"

        await eventually("that the look was taken", processed, every=0.05)
        return (await api.status(job.id)).body["progress"]

    async def is_high() -> bool:
        return await simulator.progress(video["id"]) >= 36

    async def has_fallen() -> bool:
        return 20 <= await simulator.progress(video["id"]) < 30

    await eventually("that the provider's progress is high", is_high, every=0.05)
    high = await look()
    assert high >= 36
    await eventually("that it has fallen", has_fallen, every=0.05)
    assert await look() >= high

    await job.completed()
    progress = [message["progress"] for message in job.messages]
    assert progress == sorted(progress)


@pytest.mark.job("shape=numbers")
async def test_seconds_may_be_a_number(job: Job) -> None:
    await job.completed()


@pytest.mark.parametrize(
    (),
    [
        pytest.param(marks=pytest.mark.job("fail=error shape=error_string"), id="a string"),
        pytest.param(marks=pytest.mark.job("fail=error shape=error_number"), id="a numeric code"),
        pytest.param(marks=pytest.mark.job("fail=error"), id="an object"),
    ],
)
async def test_the_reason_of_a_failure_is_read_in_every_form(job: Job) -> None:
    failed = await job.end()
    assert failed["error"] == {
        "code": "render_failed",
        "message": "The video could not be generated. Please try again.",
        "retryable": True,
    }


# Looks come after 5 and 10 seconds: the first falls into the middle third, where the unknown status is.
@pytest.mark.job("status=unknown render=10")
async def test_a_status_of_an_unknown_name_is_one_of_a_video_that_renders(job: Job) -> None:
    await job.completed()
    middle = [message for message in job.messages if 0 < message["progress"] < 99]
    assert middle and all(message["status"] == "in_progress" for message in middle)


@pytest.mark.job("status=flaky render=12")
async def test_a_provider_that_answers_only_now_and_then_delays_the_end_and_no_more(
    api: Api, simulator: Simulator, job: Job
) -> None:
    await job.completed()
    assert (await simulator.video(job.prompt))["contentFetches"] == 1
    assert (await api.download(job.id)).redirect.status == 302
