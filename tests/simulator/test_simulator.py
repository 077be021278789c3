"""The provider simulator, driven over real sockets: what it promises, and each fault that it can be asked for."""

import asyncio
import base64
import errno
import hashlib
import hmac
import io
import itertools
import os
import signal
import socket
import subprocess
import sys
import time

import aiohttp
import av
import pytest
from simulator import media
from simulator.faults import FaultError, is_within, parse_prompt, parse_words
from simulator.media import VideoFile
from simulator.webhooks import USER_AGENT, gap_before
from simulator_world import API_KEY, DEADLINE_SECONDS, INFRA, SECRET, Delivery, World, running_world

pytestmark = pytest.mark.asyncio


def signature_of(delivery: Delivery) -> str:
    """What the signature must be, from the specification alone."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = f"{delivery.headers['webhook-id']}.{delivery.headers['webhook-timestamp']}.".encode() + delivery.raw
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def is_rightly_signed(delivery: Delivery) -> bool:
    return delivery.headers["webhook-signature"] == signature_of(delivery)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


# --- The API ---------------------------------------------------------------------------------------------------------


async def test_a_create_call_answers_with_a_queued_video(world: World) -> None:
    video = await world.create("a bell", model="sora-2-pro", seconds="8", size="1280x720")
    assert video["id"].startswith("video_")
    assert isinstance(video.pop("created_at"), int)
    assert {key: value for key, value in video.items() if key != "id"} == {
        "object": "video",
        "model": "sora-2-pro",
        "status": "queued",
        "progress": 0,
        "prompt": "a bell",
        "completed_at": None,
        "expires_at": None,
        "seconds": "8",
        "size": "1280x720",
        "remixed_from_video_id": None,
        "error": None,
    }


async def test_a_form_is_taken_as_well_as_json_and_a_reference_picture_is_accepted(world: World) -> None:
    form = aiohttp.FormData({"prompt": "glockenläuten", "seconds": "12"})
    form.add_field("input_reference", b"not looked at", filename="bell.png", content_type="image/png")
    async with world.client.post("/v1/videos", data=form) as response:
        video = await response.json()
    assert (response.status, video["prompt"], video["seconds"]) == (200, "glockenläuten", "12")


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "prompt", "missing_required_parameter"),
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": "x" * 32_001}, "prompt", "invalid_value"),
        ({"prompt": 7}, "prompt", "invalid_type"),
        ({"prompt": "a bell", "seconds": "5"}, "seconds", "invalid_value"),
        ({"prompt": "a bell", "seconds": 8}, "seconds", "invalid_type"),
        ({"prompt": "a bell", "size": "1x1"}, "size", "invalid_value"),
        ({"prompt": "a bell", "model": "sora-1"}, "model", "model_not_found"),
        ({"prompt": "a bell", "second": "8"}, "second", "unknown_parameter"),
    ],
)
async def test_a_bad_order_is_refused_in_openais_error_shape(world: World, body: dict, param: str, code: str) -> None:
    async with world.client.post("/v1/videos", json=body) as response:
        error = (await response.json())["error"]
    assert response.status == 400
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert error["message"]
    [call] = (await world.ledger())["creates"]
    assert (call["answered"], call["videoId"]) == (400, None)


@pytest.mark.parametrize(
    ("data", "content_type"), [("{", "application/json"), ("[]", "application/json"), ("x", "a/b")]
)
async def test_a_body_that_is_no_order_is_refused(world: World, data: str, content_type: str) -> None:
    async with world.client.post("/v1/videos", data=data, headers={"Content-Type": content_type}) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_the_longest_prompt_is_taken(world: World) -> None:
    await world.create("x" * 32_000)


async def test_without_the_key_nothing_is_answered_but_401() -> None:
    async with running_world(api_key="another") as world:
        for method, path in [("POST", "/v1/videos"), ("GET", "/v1/videos"), ("GET", "/v1/videos/video_1/content")]:
            async with world.client.request(method, path) as response:
                assert response.status == 401
                assert (await response.json())["error"]["code"] == "invalid_api_key"


async def test_progress_grows_with_the_clock_until_the_video_is_complete() -> None:
    clock = Clock()
    async with running_world(clock) as world:
        video_id = (await world.create("a bell [sim render=100]"))["id"]
        seen = []
        for _ in range(10):
            video = await world.get(f"/v1/videos/{video_id}")
            seen.append((video["status"], video["progress"]))
            clock.now += 10
        assert seen[0] == ("queued", 0)
        assert {status for status, _ in seen[1:]} == {"in_progress"}
        progress = [value for _, value in seen[1:]]
        assert progress == sorted(set(progress))
        assert progress[-1] < 100

        video = await world.get(f"/v1/videos/{video_id}")
        assert (video["status"], video["progress"], video["error"]) == ("completed", 100, None)
        assert video["completed_at"] == video["created_at"] + 100
        assert video["expires_at"] > video["completed_at"]

        clock.now = video["expires_at"]
        await world.get(f"/v1/videos/{video_id}/content", expect=404)


async def test_unknown_and_unfinished_videos_have_no_content(world: World) -> None:
    assert (await world.get("/v1/videos/video_none", expect=404))["error"]["code"] == "not_found"
    await world.get("/v1/videos/video_none/content", expect=404)
    video_id = (await world.create("a bell [sim render=100]"))["id"]
    await world.get(f"/v1/videos/{video_id}/content", expect=404)
    await world.get(f"/simulator/videos/{video_id}/content", expect=404)
    await world.get("/v1/nothing", expect=404)


async def test_the_list_is_paged_newest_first_or_oldest_first(world: World) -> None:
    ids = [(await world.create(f"bell {number}"))["id"] for number in range(5)]

    first = await world.get("/v1/videos?limit=2")
    assert [video["id"] for video in first["data"]] == [ids[4], ids[3]]
    assert (first["object"], first["has_more"], first["first_id"], first["last_id"]) == ("list", True, ids[4], ids[3])

    second = await world.get(f"/v1/videos?limit=3&after={first['last_id']}")
    assert [video["id"] for video in second["data"]] == [ids[2], ids[1], ids[0]]
    assert second["has_more"] is False

    oldest = await world.get(f"/v1/videos?order=asc&after={ids[0]}")
    assert [video["id"] for video in oldest["data"]] == ids[1:]

    none = await world.get(f"/v1/videos?after={ids[0]}")
    assert (none["data"], none["has_more"], none["first_id"], none["last_id"]) == ([], False, None, None)


@pytest.mark.parametrize("query", ["limit=101", "limit=-1", "limit=x", "order=up", "after=video_none"])
async def test_a_bad_page_is_refused(world: World, query: str) -> None:
    await world.get(f"/v1/videos?{query}", expect=400)


async def test_a_deleted_video_is_gone_from_the_api_and_kept_in_the_ledger(world: World) -> None:
    video_id = await world.finished("a bell")
    async with world.client.delete(f"/v1/videos/{video_id}") as response:
        assert await response.json() == {"id": video_id, "object": "video.deleted", "deleted": True}
    await world.get(f"/v1/videos/{video_id}", expect=404)
    assert (await world.get("/v1/videos"))["data"] == []
    [account] = (await world.ledger())["videos"]
    assert (account["id"], account["deleted"]) == (video_id, True)


# --- The media -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "size"), [("8", "1280x720"), ("4", "720x1280")])
async def test_the_content_is_a_playable_mp4_of_the_asked_length_and_size(
    world: World, seconds: str, size: str
) -> None:
    video_id = (await world.create("a bell [sim render=0]", seconds=seconds, size=size))["id"]
    await world.receiver.next()
    async with world.client.get(f"/v1/videos/{video_id}/content") as response:
        data = await response.read()
        assert response.headers["Content-Type"] == "video/mp4"
        assert int(response.headers["Content-Length"]) == len(data)

    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(io.BytesIO(data)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert f"{video.codec_context.width}x{video.codec_context.height}" == size
        assert container.duration / av.time_base == pytest.approx(float(seconds), abs=0.1)
        frames = [bytes(frame.planes[0]) for frame in container.decode(video)]
    assert len(frames) == int(seconds) * media.FRAME_RATE
    assert len(set(frames)) > len(frames) / 2, "the picture moves"

    with av.open(io.BytesIO(data)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples == pytest.approx(int(seconds) * media.SAMPLE_RATE, abs=2 * media.AAC_FRAME)


async def test_the_thumbnail_is_a_webp_picture_of_the_videos_size(world: World) -> None:
    video_id = await world.finished("a bell")
    async with world.client.get(f"/v1/videos/{video_id}/content?variant=thumbnail") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "image/webp")
        picture = await response.read()
    with av.open(io.BytesIO(picture)) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (720, 1280)
    await world.get(f"/v1/videos/{video_id}/content?variant=spritesheet", expect=400)


async def test_fifty_jobs_cost_one_encoding_and_each_has_bytes_of_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    real = media.render_clip
    monkeypatch.setattr(media, "render_clip", lambda *size: encoded.append(size) or real(*size))
    videos = await asyncio.gather(*(world.create(f"bell {number}") for number in range(50)))
    for _ in videos:
        await world.receiver.next()

    accounts = (await world.ledger())["videos"]
    assert encoded == [(4, 720, 1280)]
    assert len({account["sha256"] for account in accounts}) == 50
    content = await world.content(accounts[7]["id"])
    assert hashlib.sha256(content).hexdigest() == accounts[7]["sha256"]
    assert len(content) == accounts[7]["bytes"]


async def test_a_padded_file_has_the_asked_size_and_still_plays(world: World) -> None:
    video_id = await world.finished("a bell [sim content_mb=3]")
    data = await world.content(video_id)
    assert len(data) == 3_000_000
    with av.open(io.BytesIO(data)) as container:
        assert len(list(container.decode(video=0))) == 4 * media.FRAME_RATE
    [account] = (await world.ledger())["videos"]
    assert (account["bytes"], account["sha256"]) == (3_000_000, hashlib.sha256(data).hexdigest())


async def test_a_huge_file_is_made_of_small_chunks() -> None:
    file = VideoFile(b"clip", "video_1", megabytes=500)
    assert file.size == 500_000_000
    sizes = [len(chunk) for chunk in file.chunks()]
    assert (sum(sizes), max(sizes)) == (file.size, media.CHUNK)


# --- Webhooks --------------------------------------------------------------------------------------------------------


async def test_a_webhook_is_thin_and_signed_as_openais_are(world: World) -> None:
    video = await world.create("a bell")
    delivery = await world.receiver.next()

    assert delivery.event.pop("id").startswith("evt_")
    created_at = delivery.event.pop("created_at")
    assert video["created_at"] <= created_at <= video["created_at"] + 2
    assert delivery.event == {"object": "event", "type": "video.completed", "data": {"id": video["id"]}}
    assert delivery.headers["webhook-id"].startswith("wh_")
    assert delivery.headers["content-type"] == "application/json"
    assert delivery.headers["user-agent"] == USER_AGENT
    assert abs(int(delivery.headers["webhook-timestamp"]) - time.time()) < 5
    assert is_rightly_signed(delivery)
    assert (await world.get(f"/v1/videos/{video['id']}"))["status"] == "completed"


async def test_a_retry_keeps_id_and_body_and_has_a_fresh_timestamp_and_signature(world: World) -> None:
    world.receiver.answers = [503, 404]
    await world.create("a bell [sim render=0]")
    first, second, third = [await world.receiver.next() for _ in range(3)]

    assert {first.headers["webhook-id"]} == {delivery.headers["webhook-id"] for delivery in (second, third)}
    assert first.raw == second.raw == third.raw
    assert int(third.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    assert all(is_rightly_signed(delivery) for delivery in (first, second, third))

    entries = await world.deliveries(3)
    assert [(entry["attempt"], entry["status"]) for entry in entries] == [(1, 503), (2, 404), (3, 200)]
    assert entries[1]["at"] - entries[0]["at"] >= 0.5
    assert entries[2]["at"] - entries[1]["at"] >= 1


async def test_a_redirect_is_a_failure_and_is_not_followed(world: World) -> None:
    world.receiver.answers = [302, 307]
    await world.create("a bell [sim render=0]")
    for _ in range(3):
        await world.receiver.next()
    assert [entry["status"] for entry in await world.deliveries(3)] == [302, 307, 200]
    assert set(world.receiver.paths) == {"/hook"}


async def test_any_2xx_is_a_delivery(world: World) -> None:
    world.receiver.answers = [204]
    await world.finished("a bell")
    await world.finished("another bell")
    assert [(entry["attempt"], entry["status"]) for entry in await world.deliveries(2)] == [(1, 204), (1, 200)]


async def test_no_answer_in_time_is_tried_again() -> None:
    async with running_world(webhook_timeout=0.1) as world:
        world.receiver.answers = [None]
        await world.create("a bell [sim render=0]")
        first, second = await world.receiver.next(), await world.receiver.next()
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert [entry["status"] for entry in await world.deliveries(2)] == [None, 200]


async def test_the_gaps_between_attempts_double_up_to_a_limit() -> None:
    assert [gap_before(attempt) for attempt in range(2, 11)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


async def test_a_webhook_can_be_sent_by_hand_and_sent_again(world: World) -> None:
    body = {"videoId": "video_nobody", "type": "video.unheard_of", "webhookId": "wh_mine"}
    world.receiver.answers = [418]
    for status in (418, 200):
        async with world.client.post("/simulator/send", json=body) as response:
            assert await response.json() == {"webhookId": "wh_mine", "status": status, "body": "heard"}
    first, again = await world.receiver.next(), await world.receiver.next()
    assert first.headers["webhook-id"] == "wh_mine"
    assert first.event["type"] == "video.unheard_of"
    assert first.raw == again.raw
    assert is_rightly_signed(first)

    async with world.client.post("/simulator/send", json={"type": "video.completed"}) as response:
        assert response.status == 400


async def test_a_webhook_of_the_ledger_can_be_sent_again_by_hand(world: World) -> None:
    await world.finished("a bell")
    [entry] = await world.deliveries(1)
    body = {name: entry[name] for name in ("videoId", "type", "webhookId")}
    async with world.client.post("/simulator/send", json=body) as response:
        assert response.status == 200
    again = await world.receiver.next()
    assert again.headers["webhook-id"] == entry["webhookId"]


# --- Faults: webhooks ------------------------------------------------------------------------------------------------


async def test_a_lost_webhook_is_never_sent_though_the_video_is_there(world: World) -> None:
    video_id = (await world.create("a bell [sim render=0 webhook=lost]"))["id"]
    await world.finished("another bell")
    assert [entry["videoId"] == video_id for entry in await world.deliveries(1)] == [False]
    assert (await world.get(f"/v1/videos/{video_id}"))["status"] == "completed"


async def test_a_doubled_webhook_comes_twice_at_once_with_one_id(world: World) -> None:
    await world.create("a bell [sim render=0 webhook=twice]")
    one, other = await world.receiver.next(), await world.receiver.next()
    assert one.headers["webhook-id"] == other.headers["webhook-id"]
    assert one.raw == other.raw
    assert [entry["attempt"] for entry in await world.deliveries(2)] == [1, 1]


async def test_a_late_webhook_comes_after_its_delay(world: World) -> None:
    await world.create("a bell [sim render=0 webhook=late webhook_delay=0.4]")
    await world.receiver.next()
    [call], [entry] = (await world.ledger())["creates"], await world.deliveries(1)
    assert entry["at"] - call["at"] >= 0.4


async def test_an_early_webhook_is_answered_before_the_create_call_returns(world: World) -> None:
    video = await world.create("a bell [sim render=60 webhook=early]")
    assert world.receiver.waiting() == 1
    delivery = await world.receiver.next()
    assert delivery.event["data"]["id"] == video["id"]
    assert video["status"] == "queued"
    assert (await world.get(f"/v1/videos/{video['id']}"))["status"] == "completed"


async def test_an_early_webhook_that_is_refused_is_tried_again(world: World) -> None:
    world.receiver.answers = [500]
    await world.create("a bell [sim webhook=early]")
    assert world.receiver.waiting() == 1
    first, second = await world.receiver.next(), await world.receiver.next()
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_an_out_of_order_event_contradicts_the_video_and_is_dated_earlier(world: World) -> None:
    video_id = (await world.create("a bell [sim webhook=out_of_order]"))["id"]
    true, stray = await world.receiver.next(), await world.receiver.next()
    assert (true.event["type"], stray.event["type"]) == ("video.completed", "video.failed")
    assert stray.event["data"]["id"] == video_id
    assert stray.event["created_at"] < true.event["created_at"]
    assert stray.headers["webhook-id"] != true.headers["webhook-id"]
    assert is_rightly_signed(stray)


async def test_a_badly_signed_webhook_is_followed_by_a_rightly_signed_retry(world: World) -> None:
    world.receiver.answers = [400]
    await world.create("a bell [sim render=0 webhook=bad_signature]")
    bad, good = await world.receiver.next(), await world.receiver.next()
    assert not is_rightly_signed(bad)
    assert len(bad.headers["webhook-signature"]) == len(good.headers["webhook-signature"])
    assert is_rightly_signed(good)


async def test_a_slow_webhook_arrives_whole_after_its_time(world: World) -> None:
    await world.create("a bell [sim render=0 webhook=slow webhook_seconds=0.3]")
    began = time.monotonic()
    delivery = await world.receiver.next()
    assert time.monotonic() - began > 0.2
    assert "transfer-encoding" not in delivery.headers
    assert is_rightly_signed(delivery)


# --- Faults: create --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"),
    [("rate_limited", 429, "3"), ("unavailable", 503, "3"), ("error_500", 500, None), ("refused", 400, None)],
)
async def test_a_refused_create_takes_nothing_and_the_next_call_succeeds(
    world: World, fault: str, status: int, retry_after: str | None
) -> None:
    prompt = f"a bell [sim create={fault} times=2 retry_after=3]"
    for _ in range(2):
        async with world.client.post("/v1/videos", json={"prompt": prompt}) as response:
            assert (response.status, response.headers.get("Retry-After")) == (status, retry_after)
            assert (await response.json())["error"]["message"]
    assert (await world.get("/v1/videos"))["data"] == []
    video = await world.create(prompt)
    calls = (await world.ledger())["creates"]
    assert [(call["answered"], call["videoId"]) for call in calls] == [(status, None)] * 2 + [(200, video["id"])]


async def test_a_bad_gateway_answers_with_a_page(world: World) -> None:
    async with world.client.post("/v1/videos", json={"prompt": "a bell [sim create=bad_gateway]"}) as response:
        assert (response.status, response.content_type) == (502, "text/html")
    assert (await world.get("/v1/videos"))["data"] == []


@pytest.mark.parametrize(("fault", "taken"), [("timeout_before", 0), ("timeout_after", 1)])
async def test_a_create_call_may_never_be_answered(world: World, fault: str, taken: int) -> None:
    with pytest.raises(TimeoutError):
        await world.client.post(
            "/v1/videos",
            json={"prompt": f"a bell [sim create={fault}]"},
            timeout=aiohttp.ClientTimeout(total=0.3),
        )
    [call] = (await world.ledger())["creates"]
    assert call["answered"] == "hung"
    assert [video["id"] for video in (await world.get("/v1/videos"))["data"]] == [call["videoId"]] * taken
    if taken:
        assert (await world.receiver.next()).event["data"]["id"] == call["videoId"]


async def test_a_create_call_may_be_taken_and_then_reset(world: World) -> None:
    with pytest.raises(aiohttp.ClientOSError) as caught:
        await world.client.post("/v1/videos", json={"prompt": "a bell [sim create=reset_after]"})
    assert caught.value.errno == errno.ECONNRESET
    [call] = (await world.ledger())["creates"]
    assert call["answered"] == "reset"
    assert (await world.receiver.next()).event["data"]["id"] == call["videoId"]


async def test_the_count_of_faulty_calls_is_kept_for_each_prompt(world: World) -> None:
    async with world.client.put("/simulator/faults", json={"create": "error_500"}) as response:
        assert await response.json() == {"create": "error_500"}
    await world.create("one bell", expect=500)
    await world.create("another bell", expect=500)
    await world.create("one bell")
    await world.create("another bell")


# --- Faults: the video and its content -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directive", "error"),
    [
        ("fail=moderation", {"code": "moderation_blocked"}),
        ("fail=error", {"code": "video_generation_failed"}),
        ("fail=moderation shape=error_number", {"code": 400}),
    ],
)
async def test_a_failure_has_its_reason_on_the_video_object_alone(world: World, directive: str, error: dict) -> None:
    video_id = (await world.create(f"a bell [sim render=0 {directive}]"))["id"]
    delivery = await world.receiver.next()
    assert (delivery.event["type"], delivery.event["data"]) == ("video.failed", {"id": video_id})
    video = await world.get(f"/v1/videos/{video_id}")
    assert (video["status"], video["completed_at"]) == ("failed", None)
    assert video["error"].pop("message")
    assert video["error"] == error
    await world.get(f"/v1/videos/{video_id}/content", expect=404)


async def test_other_servers_shapes_are_served_everywhere(world: World) -> None:
    prompt = "a bell [sim render=0 fail=error shape={}]"
    text = (await world.create(prompt.format("error_string")))["id"]
    numbers = (await world.create(prompt.format("numbers")))["id"]
    await world.receiver.next(), await world.receiver.next()
    assert isinstance((await world.get(f"/v1/videos/{text}"))["error"], str)
    assert (await world.get(f"/v1/videos/{numbers}"))["seconds"] == 4
    listed = {video["id"]: video for video in (await world.get("/v1/videos"))["data"]}
    assert isinstance(listed[text]["error"], str)
    assert listed[numbers]["seconds"] == 4


async def test_a_flaky_status_fails_every_second_read(world: World) -> None:
    video_id = (await world.create("a bell [sim status=flaky]"))["id"]
    for expect in (200, 500, 200, 500):
        await world.get(f"/v1/videos/{video_id}", expect)


async def test_a_status_may_be_unknown_and_progress_may_jump_back_once() -> None:
    clock = Clock()
    async with running_world(clock) as world:
        unknown = (await world.create("a bell [sim render=100 status=unknown]"))["id"]
        backwards = (await world.create("a bell [sim render=100 status=backwards]"))["id"]
        statuses, progress = [], []
        for _ in range(11):
            statuses.append((await world.get(f"/v1/videos/{unknown}"))["status"])
            progress.append((await world.get(f"/v1/videos/{backwards}"))["progress"])
            clock.now += 10
        assert statuses[5] == "post_processing"
        assert (statuses[2], statuses[8], statuses[10]) == ("in_progress", "in_progress", "completed")
        assert sum(later < earlier for earlier, later in itertools.pairwise(progress)) == 1
        assert progress[10] == 100


async def test_truncated_content_promises_more_than_it_sends_and_the_next_fetch_is_whole(world: World) -> None:
    video_id = await world.finished("a bell [sim content=truncated]")
    whole = await world.true_content(video_id)
    async with world.client.get(f"/v1/videos/{video_id}/content") as response:
        assert int(response.headers["Content-Length"]) == len(whole)
        got = bytearray()
        with pytest.raises(aiohttp.ClientPayloadError):
            async for chunk in response.content.iter_any():
                got += chunk
    assert bytes(got) == whole[: len(whole) // 2]
    assert await world.content(video_id) == whole
    [account] = (await world.ledger())["videos"]
    assert account["contentFetches"] == 2


async def test_truncated_chunked_content_ends_cleanly_at_half(world: World) -> None:
    video_id = await world.finished("a bell [sim content=truncated_chunked content_times=2]")
    whole = await world.true_content(video_id)
    for _ in range(2):
        async with world.client.get(f"/v1/videos/{video_id}/content") as response:
            assert "Content-Length" not in response.headers
            assert await response.read() == whole[: len(whole) // 2]
    assert await world.content(video_id) == whole


async def test_content_may_be_no_video_or_empty_although_it_says_video(world: World) -> None:
    for fault in ("not_video", "empty"):
        video_id = await world.finished(f"a bell [sim content={fault} content_times=0]")
        for _ in range(2):
            async with world.client.get(f"/v1/videos/{video_id}/content") as response:
                assert (response.status, response.content_type) == (200, "video/mp4")
                body = await response.read()
                assert b"ftyp" not in body
                assert bool(body) == (fault == "not_video")


async def test_content_may_be_reset_midway(world: World) -> None:
    video_id = await world.finished("a bell [sim content=reset]")
    with pytest.raises(aiohttp.ClientError):
        await world.content(video_id)
    assert await world.content(video_id) == await world.true_content(video_id)


async def test_slow_content_takes_its_time_and_is_whole(world: World) -> None:
    video_id = await world.finished("a bell [sim content=slow content_seconds=0.5]")
    began = time.monotonic()
    assert await world.content(video_id) == await world.true_content(video_id)
    assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize(("fault", "status"), [("error_500", 500), ("expired", 404)])
async def test_content_may_be_answered_with_an_error(world: World, fault: str, status: int) -> None:
    video_id = await world.finished(f"a bell [sim content={fault}]")
    assert (await world.get(f"/v1/videos/{video_id}/content", expect=status))["error"]["message"]
    assert (await world.content(video_id))[4:8] == b"ftyp"


async def test_a_thumbnail_may_be_missing_where_the_video_is_not(world: World) -> None:
    video_id = await world.finished("a bell [sim thumbnail=missing]")
    await world.get(f"/v1/videos/{video_id}/content?variant=thumbnail", expect=404)
    assert (await world.content(video_id))[4:8] == b"ftyp"


# --- The directive ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directive", "told"),
    [
        ("[sim webhok=lost]", "webhok"),
        ("[sim webhook=lots]", "lots"),
        ("[sim render=-1]", "render"),
        ("[sim render=nan]", "render"),
        ("[sim times=x]", "times"),
        ("[sim lost]", "lost"),
        ("[sim render=1 render=2]", "render"),
        ("[sim render=1", "not closed"),
    ],
)
async def test_a_directive_that_cannot_be_followed_is_a_400_that_names_it(
    world: World, directive: str, told: str
) -> None:
    error = (await world.create(f"a bell {directive}", expect=400))["error"]
    assert told in error["message"]
    assert (await world.get("/v1/videos"))["data"] == []


async def test_the_directive_may_stand_anywhere_and_prose_is_no_directive() -> None:
    assert parse_prompt("a [sim fail=error times=2] bell") == {"fail": "error", "times": 2}
    assert parse_prompt("a [similar] bell, [simple=1]") == {}
    assert parse_words("render=0.5 content_mb=7") == {"render": 0.5, "content_mb": 7}
    with pytest.raises(FaultError):
        parse_words("content_mb=9999")


async def test_zero_times_is_always() -> None:
    assert [is_within(number, 2) for number in (1, 2, 3)] == [True, True, False]
    assert is_within(1000, 0)


async def test_a_jobs_own_directive_wins_over_the_defaults_key_by_key(world: World) -> None:
    async with world.client.put("/simulator/faults", json={"fail": "error", "render": 0}) as response:
        assert response.status == 200
    failed = (await world.create("a bell"))["id"]
    assert (await world.receiver.next()).event["type"] == "video.failed"
    own = (await world.create("a bell [sim fail=moderation]"))["id"]
    await world.receiver.next()
    assert (await world.get(f"/v1/videos/{failed}"))["error"]["code"] == "video_generation_failed"
    assert (await world.get(f"/v1/videos/{own}"))["error"]["code"] == "moderation_blocked"

    async with world.client.put("/simulator/faults", json={}) as response:
        assert await response.json() == {}
    await world.create("a bell again")
    assert (await world.receiver.next()).event["type"] == "video.completed"


@pytest.mark.parametrize("body", [{"fial": "error"}, {"fail": "eror"}, {"fail": None}, {"times": True}, [], "x"])
async def test_bad_defaults_are_refused_and_change_nothing(world: World, body: object) -> None:
    async with world.client.put("/simulator/faults", json=body) as response:
        assert response.status == 400
    assert world.provider.default_faults == {}


# --- The command -----------------------------------------------------------------------------------------------------


def command(port: int, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "simulator", "--port", str(port), "--webhook-url", "http://127.0.0.1:1/hook"),
            *("--webhook-secret", SECRET, "--api-key", API_KEY, *more),
        ],
        env={**os.environ, "PYTHONPATH": str(INFRA)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_serves_and_ends_cleanly_with_a_delivery_pending(stop: signal.Signals) -> None:
    with command(0, "--default-faults", "render=0") as process:
        try:
            began = await asyncio.to_thread(process.stderr.readline)
            base = began.split("listening on ")[1].split(",")[0]
            headers = {"Authorization": f"Bearer {API_KEY}"}
            async with aiohttp.request(
                "POST", f"{base}/videos", json={"prompt": "a bell"}, headers=headers
            ) as response:
                assert response.status == 200
            process.send_signal(stop)
            _, rest = await asyncio.to_thread(process.communicate, timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert SECRET not in began + rest
    assert API_KEY not in began + rest


async def test_a_taken_port_is_said_and_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with command(port) as process:
            _, said = await asyncio.to_thread(process.communicate, timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert f"port {port} is taken" in said
    assert "Traceback" not in said


async def test_a_bad_secret_is_refused_without_being_shown() -> None:
    with command(0, "--webhook-secret", "whsec_") as process:
        _, said = await asyncio.to_thread(process.communicate, timeout=DEADLINE_SECONDS)
    assert process.returncode == 2
    assert "--webhook-secret" in said


async def test_a_bad_default_fault_is_refused_at_the_start() -> None:
    with command(0, "--default-faults", "webhook=lots") as process:
        _, said = await asyncio.to_thread(process.communicate, timeout=DEADLINE_SECONDS)
    assert process.returncode == 2
    assert "'webhook' must be one of" in said
