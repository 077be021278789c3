"""One job from its order to its file, as its user sees it; and what it leaves behind, as an operator sees it."""

import asyncio
import base64
import hashlib
import io
import json
import time
from dataclasses import dataclass

import aiohttp
import av
import pytest
import pytest_asyncio
from client import Answer, Api, Download, Job, Message, Simulator, Watcher, eventually, unique_prompt
from local import logs
from local.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

AUDIO = b"RIFF, and what only this narration says" * 3


@dataclass
class Story:
    """What came of one job, seen from the outside."""

    job_id: str
    prompt: str
    ordered: Answer
    early_download: Download
    messages: list[Message]
    first_download: Download
    """Made the moment that `completed` was said."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(stack: Stack, http: aiohttp.ClientSession) -> Story:
    api = Api(stack, http)
    # Long enough for two looks, 5 seconds apart.
    prompt = unique_prompt("A bell that only this story tells of", "render=12")
    async with Watcher.open(stack) as watcher:
        ordered = await api.generate(prompt, audioBuffer=base64.b64encode(AUDIO).decode(), seconds="4")
        job_id = ordered.body["jobId"]
        await watcher.subscribe(job_id)
        early_download = await api.download(job_id)
        await watcher.completed(job_id)
        first_download = await api.download(job_id)
        return Story(job_id, prompt, ordered, early_download, watcher.messages(job_id), first_download)


@pytest_asyncio.fixture(loop_scope="session")
async def video(story: Story, simulator: Simulator) -> dict:
    """The provider's account of the story's video."""
    return await simulator.video(story.prompt)


def row_of(stack: Stack, job_id: str) -> dict:
    key = {"jobId": {"S": job_id}}
    return stack.client("dynamodb").get_item(TableName=stack.outputs["JobsTable"], Key=key, ConsistentRead=True)["Item"]


async def test_a_job_is_accepted_although_the_provider_never_answers(api: Api) -> None:
    status, body, _ = await api.generate(unique_prompt(faults="create=timeout_before"))
    assert status == 202
    assert body["status"] == "queued" and body["progress"] == 0
    assert body["jobId"] and body["message"] and "error" not in body and "downloadUrl" not in body


async def test_the_order_is_answered_with_the_job_s_first_state(story: Story) -> None:
    status, body, _ = story.ordered
    assert status == 202
    assert {"jobId", "status", "progress", "message", "version"} <= body.keys()
    assert (body["status"], body["progress"]) == ("queued", 0)
    assert body["version"] <= story.messages[0]["version"], "the subscription's answer is this state, or a newer one"


async def test_progress_is_told_as_it_grows_and_never_goes_back(story: Story) -> None:
    told = [message for message in story.messages if message["type"] == "progress"]
    versions = [message["version"] for message in told]
    progress = [message["progress"] for message in told]
    assert versions == sorted(set(versions)), "each version is told once, in order"
    assert versions[0] > story.ordered.body["version"]
    assert progress == sorted(progress)
    assert len([percent for percent in progress if 0 < percent < 99]) >= 2, "the provider's progress is passed on"
    assert [message["status"] for message in told][-1] == "completed"
    assert all(message["progress"] < 100 for message in told[:-1]) and progress[-1] == 100


async def test_completed_is_said_only_when_the_download_works(story: Story, video: dict) -> None:
    assert story.first_download.redirect.status == 302
    assert hashlib.sha256(story.first_download.content).hexdigest() == video["sha256"]


async def test_before_that_the_download_says_when_to_ask_again(story: Story) -> None:
    answer = story.early_download.redirect
    assert answer.status == 409
    assert answer.body["code"] == "not_ready" and int(answer.headers["Retry-After"]) > 0


async def test_the_download_is_the_provider_s_file_byte_by_byte(
    api: Api, story: Story, simulator: Simulator, video: dict
) -> None:
    download = await api.download(story.job_id)
    assert download.content == await simulator.content(video["id"])
    assert download.file.headers["Content-Disposition"] == f'attachment; filename="video-{story.job_id}.mp4"'
    assert download.file.headers["Content-Type"] == "video/mp4"


async def test_a_browser_can_ask_for_a_part_of_the_file(api: Api, story: Story) -> None:
    download = await api.download(story.job_id, headers={"Range": "bytes=100-199"})
    assert download.file.status == 206
    assert download.content == story.first_download.content[100:200]
    assert download.file.headers["Content-Range"] == f"bytes 100-199/{len(story.first_download.content)}"


async def test_a_program_gets_the_url_as_json(api: Api, story: Story, http: aiohttp.ClientSession) -> None:
    status, body, _ = await api.download_link(story.job_id)
    assert status == 200 and body.keys() == {"url", "expiresAt"}
    assert body["expiresAt"] > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    assert (await api.download_digest(story.job_id))[0] == len(story.first_download.content)


async def test_the_thumbnail_is_a_picture_of_its_own_name(api: Api, story: Story) -> None:
    download = await api.download(story.job_id, variant="thumbnail")
    assert download.content[:4] == b"RIFF" and download.content[8:12] == b"WEBP"
    assert f'filename="video-{story.job_id}.webp"' in download.file.headers["Content-Disposition"]


async def test_the_file_plays(story: Story) -> None:
    frames = {"video": 0, "audio": 0}
    with av.open(io.BytesIO(story.first_download.content)) as container:
        codecs = {stream.type: stream.codec_context.name for stream in container.streams}
        for frame in container.decode():
            frames["video" if isinstance(frame, av.VideoFrame) else "audio"] += 1
    assert codecs == {"video": "h264", "audio": "aac"}
    assert min(frames.values()) > 0, frames


async def test_whoever_polls_sees_the_same_and_what_is_not_new_is_not_sent_again(api: Api, story: Story) -> None:
    status, body, headers = await api.status(story.job_id)
    told = {key: value for key, value in story.messages[-1].items() if key not in ("type", "timestamp", "receivedAt")}
    assert (status, body) == (200, told)
    again = await api.status(story.job_id, etag=headers["ETag"])
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", headers["ETag"])
    assert (await api.status(story.job_id, etag='"1"')).status == 200


async def test_the_download_url_of_the_status_is_a_lasting_one(api: Api, story: Story) -> None:
    url = story.messages[-1]["downloadUrl"]
    assert url == f"/api/download?jobId={story.job_id}&renderVersion=v3"
    assert (await api.request("GET", url)).status == 302


async def test_the_provider_was_asked_exactly_once(story: Story, simulator: Simulator, video: dict) -> None:
    [create] = await simulator.creates(story.prompt)
    assert (create["answered"], create["model"], create["seconds"], create["size"]) == (200, "sora-2", "4", "1280x720")
    assert video["contentFetches"] == 1


async def test_the_webhook_is_in_the_audit_trail_without_its_body(api: Api, story: Story, video: dict) -> None:
    [event] = await api.events_of(video["id"])
    assert (event["type"], event["outcome"], event["deliveries"]) == ("video.completed", "applied", 1)
    assert event["jobId"] == story.job_id
    assert "body" not in event


async def test_the_row_holds_neither_the_prompt_nor_the_narration(stack: Stack, story: Story) -> None:
    row = json.dumps(row_of(stack, story.job_id))
    assert story.prompt not in row and "only this story" not in row
    assert base64.b64encode(AUDIO).decode() not in row and "only this narration" not in row


async def test_the_narration_lies_in_the_bucket_as_it_was_sent(stack: Stack, story: Story) -> None:
    s3, bucket = stack.client("s3"), stack.outputs["VideosBucket"]
    [stored] = s3.list_objects_v2(Bucket=bucket, Prefix=f"audio/{story.job_id}/")["Contents"]
    assert s3.get_object(Bucket=bucket, Key=stored["Key"])["Body"].read() == AUDIO


async def test_the_bucket_holds_the_video_and_its_thumbnail_and_nothing_else(stack: Stack, story: Story) -> None:
    listed = stack.client("s3").list_objects_v2(Bucket=stack.outputs["VideosBucket"], Prefix=f"videos/{story.job_id}/")
    assert sorted(item["Key"].rsplit(".", 1)[1] for item in listed["Contents"]) == ["mp4", "webp"]


async def test_no_function_logs_the_prompt(stack: Stack, story: Story) -> None:
    async def lines() -> list[str]:
        return await asyncio.to_thread(logs.lines, stack.client("logs"), stack.name)

    async def lines_about_the_end() -> list[str]:
        # A call's lines come a moment after it ended.
        return [
            line for line in await lines() if story.job_id in line and "notify" in line and "status=completed" in line
        ]

    await eventually("that the functions' last lines are there", lines_about_the_end)
    assert not [line for line in await lines() if "only this story" in line or "only this narration" in line]


@pytest.mark.job("fail=moderation")
async def test_a_failure_is_told_with_its_reason(api: Api, simulator: Simulator, job: Job) -> None:
    failed = await job.end()
    assert failed["status"] == "failed"
    assert failed["error"].keys() == {"code", "message", "retryable"}
    assert (failed["error"]["code"], failed["error"]["retryable"]) == ("content_rejected", False)
    assert failed["error"]["message"] == "Your request was blocked by our moderation system."
    assert failed["progress"] < 100 and "downloadUrl" not in failed

    assert (await api.status(job.id)).body["error"] == failed["error"]
    gone = (await api.download(job.id)).redirect
    assert (gone.status, gone.body["code"]) == (410, "job_failed")
    [event] = await api.events_of((await simulator.video(job.prompt))["id"])
    assert (event["type"], event["outcome"]) == ("video.failed", "applied")


@pytest.mark.job("thumbnail=missing")
async def test_a_thumbnail_that_can_t_be_had_fails_nothing(api: Api, job: Job) -> None:
    await job.completed()
    assert (await api.download(job.id)).redirect.status == 302
    missing = (await api.download(job.id, variant="thumbnail")).redirect
    assert (missing.status, missing.body["code"]) == (404, "no_thumbnail")
