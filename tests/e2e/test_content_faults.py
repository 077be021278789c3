"""A file that breaks off, or is none, is fetched again, and is never said to be the video."""

from datetime import datetime, timedelta

import pytest
from client import Api, Job, Simulator
from local.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


def objects_of(stack: Stack, job: Job) -> list[str]:
    """What the bucket holds for the job."""
    listed = stack.client("s3").list_objects_v2(Bucket=stack.outputs["VideosBucket"], Prefix=f"videos/{job.id}/")
    return [item["Key"] for item in listed.get("Contents", [])]


def uploads_of(stack: Stack, job: Job) -> list[str]:
    """The multipart uploads that were begun for the job and neither finished nor aborted."""
    listed = stack.client("s3").list_multipart_uploads(Bucket=stack.outputs["VideosBucket"])
    return [upload["Key"] for upload in listed.get("Uploads", []) if job.id in upload["Key"]]


def once(fault: str):
    return pytest.param(marks=pytest.mark.job(f"content={fault}"), id=fault)


@pytest.mark.parametrize(
    (),
    [
        once("truncated"),
        once("truncated_chunked"),
        once("not_video"),
        once("empty"),
        once("reset"),
        once("error_500"),
        once("expired"),
        # Over the size of a part of a multipart upload, so that one has begun when the file breaks off.
        pytest.param(
            marks=pytest.mark.job("content=truncated content_mb=40"), id="truncated in the middle of an upload"
        ),
        pytest.param(marks=pytest.mark.job("content=reset content_mb=40"), id="reset in the middle of an upload"),
    ],
)
async def test_a_file_that_came_broken_once_is_fetched_again(
    stack: Stack, api: Api, simulator: Simulator, job: Job
) -> None:
    await job.completed()
    video = await simulator.video(job.prompt)
    assert video["contentFetches"] == 2
    assert await api.download_digest(job.id) == (video["bytes"], video["sha256"])
    assert [key.rsplit(".", 1)[1] for key in objects_of(stack, job)].count("mp4") == 1
    assert uploads_of(stack, job) == []
    # One save that fails and one that succeeds look like one save from the outside.
    assert [message["progress"] for message in job.messages].count(99) == 1


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("invalid_video", marks=pytest.mark.job("content=truncated_chunked content_times=0"), id="chunked"),
        pytest.param("invalid_video", marks=pytest.mark.job("content=not_video content_times=0"), id="not a video"),
        pytest.param(
            "invalid_video",
            marks=pytest.mark.job("content=truncated_chunked content_times=0 content_mb=40"),
            id="in the middle of an upload",
        ),
        pytest.param("video_lost", marks=pytest.mark.job("content=expired content_times=0"), id="expired"),
    ],
)
async def test_a_file_that_always_comes_broken_fails_the_job(
    code: str, stack: Stack, api: Api, simulator: Simulator, job: Job
) -> None:
    failed = await job.end()
    assert (failed["status"], failed["error"]["code"]) == ("failed", code)
    # Over twenty time-outs of the provider's, of a second here, later and later: it may have been the line.
    saving = next(message for message in job.messages if message["progress"] == 99)
    tried_for = datetime.fromisoformat(failed["updatedAt"]) - datetime.fromisoformat(saving["updatedAt"])
    assert tried_for >= timedelta(seconds=20)
    assert failed["error"]["retryable"] and failed["progress"] < 100
    # After 0, 2, 6, 14 and 30 s; on a slow machine, the fourth may be late enough to be the last.
    assert (await simulator.video(job.prompt))["contentFetches"] in (4, 5)
    assert (await api.download(job.id)).redirect.status == 410
    assert uploads_of(stack, job) == []
    assert [key for key in objects_of(stack, job) if key.endswith(".mp4")] == []


@pytest.mark.job("content=not_video content_times=0 render=1.5")
async def test_a_job_that_failed_leaves_nothing_in_the_bucket(stack: Stack, job: Job) -> None:
    await job.end()
    assert objects_of(stack, job) == []
