"""What callers get wrong over HTTP: each has its status, its code, and a sentence that names what to change."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from client import Answer, Api, Simulator, Watcher, eventually, unique_prompt
from local.stack import Stack
from refusals import refused
from secrecy import HUSH, small_audio

pytestmark = pytest.mark.asyncio(loop_scope="session")

GENERATE = "/api/generate?renderVersion=v3"
MEGABYTE = 1_000_000
UNKNOWN = "job_" + "0123456789abcdef" * 2


def prompt(faults: str = "render=0") -> str:
    return unique_prompt(f"A bell {HUSH}", faults)


def base64_of(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


async def post(api: Api, body: bytes | None, headers: dict[str, str] | None = None) -> Answer:
    """Posts these very bytes to generate, as `application/json` when nothing else is said."""
    headers = {"Content-Type": "application/json"} if headers is None else headers
    return await api.request("POST", GENERATE, data=body, headers=headers, skip_auto_headers=["Content-Type"])


async def order(api: Api, **fields: Any) -> Answer:
    return await post(api, json.dumps(fields).encode())


def narration(stack: Stack, job_id: str) -> list[tuple[bytes, str]]:
    """What lies in the bucket as this job's audio: the bytes and their media type."""
    s3, bucket = stack.client("s3"), stack.outputs["VideosBucket"]
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"audio/{job_id}/").get("Contents", [])
    objects = [s3.get_object(Bucket=bucket, Key=entry["Key"]) for entry in found]
    return [(item["Body"].read(), item["ContentType"]) for item in objects]


def change_row(stack: Stack, job_id: str, expression: str, names: dict[str, str], past: int) -> None:
    """Sets something in a job's row to a time in the past."""
    stack.client("dynamodb").update_item(
        TableName=stack.outputs["JobsTable"],
        Key={"jobId": {"S": job_id}},
        UpdateExpression=f"SET {expression} = :past",
        ConditionExpression=f"attribute_exists({expression})",
        ExpressionAttributeNames=names,
        ExpressionAttributeValues={":past": {"N": str(past)}},
    )


# renderVersion


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("", "missing"),
        ("renderversion=v3", "missing"),
        ("renderVersion=", "not known"),
        ("renderVersion=v2", "not known"),
        ("renderVersion=V3", "not known"),
        ("renderVersion=v3%00", "not known"),
        ("renderVersion=%F0%9F%94%94", "not known"),
    ],
)
@pytest.mark.parametrize("route", ["POST /api/generate", "GET /api/status", "GET /api/download", "POST /api/cancel"])
async def test_any_render_version_but_v3_is_refused(stack: Stack, api: Api, route: str, query: str, word: str) -> None:
    method, path = route.split()
    body = {"json": {"scriptOrQuestion": prompt()}} if path == "/api/generate" else {}
    answer = await api.request(method, f"{path}?jobId={UNKNOWN}&{query}".rstrip("&"), **body)
    refused(stack, answer, 400, "unsupported_render_version", "renderVersion=v3", word)


# The body of generate


@pytest.mark.parametrize("body", [None, b"", b" \n\t "])
async def test_an_empty_body_is_refused(stack: Stack, api: Api, body: bytes | None) -> None:
    refused(stack, await post(api, body), 400, "invalid_body", "empty", "scriptOrQuestion")


NO_JSON = [
    b"a bell, please",
    b"{",
    b'{"scriptOrQuestion":"x"',
    b'{"scriptOrQuestion":"x"} and more',
    b"{'scriptOrQuestion':'x'}",
    b"scriptOrQuestion=x",
    b"\x00\x01\x02",
    b'{"scriptOrQuestion":"x","deep":' + b"[" * 100_000,
]


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        *((body, "application/json") for body in NO_JSON),
        *((body, "application/octet-stream") for body in NO_JSON),
        # What is said to be text is made UTF-8 by the local API Gateway.
        (b'{"scriptOrQuestion":"\xff\xfe"}', "application/octet-stream"),
    ],
    ids=lambda value: repr(value[:24]),
)
async def test_a_body_that_is_not_json_is_refused(stack: Stack, api: Api, body: bytes, media_type: str) -> None:
    refused(stack, await post(api, body, {"Content-Type": media_type}), 400, "invalid_body", "body", "JSON")


@pytest.mark.parametrize("body", [b"[]", b'["scriptOrQuestion"]', b'"a bell"', b"7", b"true", b"null"])
async def test_a_body_that_is_no_object_is_refused(stack: Stack, api: Api, body: bytes) -> None:
    refused(stack, await post(api, body), 400, "invalid_body", "body", "object")


async def test_a_body_over_the_limit_is_refused_with_the_limit_named(stack: Stack, api: Api) -> None:
    body = json.dumps({"scriptOrQuestion": prompt()}).encode()
    too_large = body.ljust(5_500_001)
    refused(stack, await post(api, too_large), 413, "body_too_large", "5.5 MB")
    refused(stack, await post(api, b"x" * 6 * MEGABYTE, {}), 413, "body_too_large", "5.5 MB")
    assert (await post(api, too_large[:-1])).status == 202


@pytest.mark.parametrize(
    ("script", "code", "word"),
    [
        (..., "invalid_script", "missing"),
        (None, "invalid_script", "missing"),
        (7, "invalid_script", "not a string"),
        (False, "invalid_script", "not a string"),
        (["a bell"], "invalid_script", "not a string"),
        ({"text": "a bell"}, "invalid_script", "not a string"),
        ("", "invalid_script", "empty"),
        (" \n\t ", "invalid_script", "blank"),
        ("\u00a0\u3000", "invalid_script", "blank"),
        ("x" * 32_001, "script_too_long", "32,000"),
        ("🔔" * 32_001, "script_too_long", "32,000"),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_a_script_that_is_none_is_refused(stack: Stack, api: Api, script: Any, code: str, word: str) -> None:
    body = {} if script is ... else {"scriptOrQuestion": script}
    refused(stack, await order(api, other=1, **body), 400, code, "scriptOrQuestion", word)


async def test_a_script_of_the_full_length_is_accepted_and_its_characters_are_counted_not_its_bytes(api: Api) -> None:
    script = prompt()
    assert (await order(api, scriptOrQuestion=script + "é" * (32_000 - len(script)))).status == 202


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 7),
        ("model", ""),
        ("model", "m" * 101),
        ("seconds", True),
        ("seconds", [8]),
        ("seconds", " "),
        ("size", {"width": 1280}),
        ("size", "x" * 101),
    ],
    ids=repr,
)
async def test_an_option_that_is_none_is_refused_by_name(stack: Stack, api: Api, field: str, value: Any) -> None:
    answer = await order(api, scriptOrQuestion=prompt(), **{field: value})
    refused(stack, answer, 400, "invalid_option", field)


async def test_unknown_fields_and_nulls_are_ignored(api: Api) -> None:
    nulls = dict.fromkeys(("audioBuffer", "model", "seconds", "size"))
    answer = await order(api, scriptOrQuestion=prompt(), unheardOf={"deep": [1, 2]}, **nulls)
    assert answer.status == 202, answer


@pytest.mark.parametrize(
    "media_type",
    [None, "text/plain", "text/plain;charset=UTF-8", "application/octet-stream", "application/x-www-form-urlencoded"],
)
async def test_json_is_read_whatever_the_content_type_says(
    stack: Stack, api: Api, simulator: Simulator, media_type: str | None
) -> None:
    script = unique_prompt(f"Eine Glocke läutet 🔔 {HUSH}", "render=0")
    body = json.dumps({"scriptOrQuestion": script}, ensure_ascii=False).encode()
    answer = await post(api, body, {"Content-Type": media_type} if media_type else {})
    assert answer.status == 202, answer
    # As it was written, down to the last byte.
    await eventually("the provider has the prompt", lambda: simulator.creates(script))


# Narration


def buffer(audio: bytes) -> dict[str, Any]:
    return {"type": "Buffer", "data": list(audio)}


FORMS: dict[str, Any] = {
    "base64": base64_of,
    "base64 without padding": lambda audio: base64_of(audio).rstrip("="),
    "URL-safe base64": lambda audio: base64.urlsafe_b64encode(audio).decode(),
    "URL-safe base64 without padding": lambda audio: base64.urlsafe_b64encode(audio).decode().rstrip("="),
    "data: URL": lambda audio: f"data:audio/wav;base64,{base64_of(audio)}",
    "data: URL with a parameter": lambda audio: f"data:audio/wav;codecs=1;base64,{base64_of(audio)}",
    "Node's Buffer": buffer,
    "array of bytes": list,
    "object of indexed bytes": lambda audio: {str(index): byte for index, byte in enumerate(audio)},
    "object of indexed bytes, shuffled": lambda audio: {
        str(index): audio[index] for index in sorted(range(len(audio)), key=str)
    },
}


@pytest.mark.parametrize("form", FORMS)
async def test_narration_is_stored_byte_by_byte_in_whatever_form_it_comes(stack: Stack, api: Api, form: str) -> None:
    audio = small_audio()
    job_id = await api.create(prompt(), audioBuffer=FORMS[form](audio))
    [(stored, media_type)] = narration(stack, job_id)
    assert stored == audio
    assert media_type == ("audio/wav" if form.startswith("data:") else "application/octet-stream")


@pytest.mark.parametrize("fields", [{}, {"audioBuffer": None}], ids=["absent", "null"])
async def test_no_narration_is_no_narration(stack: Stack, api: Api, fields: dict[str, Any]) -> None:
    job_id = await api.create(prompt(), **fields)
    assert narration(stack, job_id) == []


async def test_an_array_buffer_that_was_not_encoded_is_never_taken_for_no_narration(stack: Stack, api: Api) -> None:
    answer = await order(api, scriptOrQuestion=prompt(), audioBuffer={})
    refused(stack, answer, 400, "invalid_audio", "audioBuffer", "empty object", "not encoded", "base64")


@pytest.mark.parametrize("audio", ["", [], buffer(b""), "data:audio/wav;base64,"], ids=repr)
async def test_empty_narration_is_refused(stack: Stack, api: Api, audio: Any) -> None:
    answer = await order(api, scriptOrQuestion=prompt(), audioBuffer=audio)
    refused(stack, answer, 400, "invalid_audio", "audioBuffer", "empty")


@pytest.mark.parametrize(
    "audio",
    [
        7,
        True,
        "https://example.com/bell.wav",
        "blob:https://example.com/1b2c",
        "not base64!",
        "aGk=aGk=",
        "a",
        "data:audio/wav,hello",
        "data:audio/wav;base64",
        "data:audio/wav;base64,%%%",
        [256],
        [-1],
        [0.5],
        ["1"],
        [None],
        [[1]],
        {"0": 1, "2": 3},
        {"0": 1, "1": 256},
        {"1": 1},
        {"data": [1, 2]},
        {"type": "Buffer"},
        {"type": "Buffer", "data": "aGk="},
        {"type": "Buffer", "data": [300]},
    ],
    ids=repr,
)
async def test_what_is_no_narration_is_refused(stack: Stack, api: Api, audio: Any) -> None:
    answer = await order(api, scriptOrQuestion=prompt(), audioBuffer=audio)
    refused(stack, answer, 400, "invalid_audio", "audioBuffer")


async def test_narration_over_the_limit_is_refused_with_the_limit_named(stack: Stack, api: Api) -> None:
    text = base64_of(secrets.token_bytes(4 * MEGABYTE + 1))
    for audio in (text, text.rstrip("="), f"data:audio/wav;base64,{text}"):
        answer = await order(api, scriptOrQuestion=prompt(), audioBuffer=audio)
        refused(stack, answer, 413, "audio_too_large", "audioBuffer", "4 MB", "4,000,000")
    # As a list of numbers it is over the limit of the body long before; the sentence names both limits.
    answer = await order(api, scriptOrQuestion=prompt(), audioBuffer=[0] * (4 * MEGABYTE + 1))
    refused(stack, answer, 413, "body_too_large", "5.5 MB", "4 MB", "base64")


async def test_narration_of_the_full_length_is_accepted_as_base64(stack: Stack, api: Api) -> None:
    audio = secrets.token_bytes(4 * MEGABYTE)
    job_id = await api.create(prompt(), audioBuffer=base64_of(audio))
    assert [stored for stored, _ in narration(stack, job_id)] == [audio]


# Idempotency-Key


@pytest.mark.parametrize("key", ["", "k" * 256, "clé", "a\tb"], ids=lambda key: repr(key[:8]))
async def test_an_idempotency_key_that_is_none_is_refused(stack: Stack, api: Api, key: str) -> None:
    answer = await api.generate(prompt(), key=key)
    refused(stack, answer, 400, "invalid_idempotency_key", "Idempotency-Key", "255")


async def test_the_same_key_and_request_give_the_same_job(api: Api, simulator: Simulator) -> None:
    script, key = prompt("render=0"), secrets.token_hex(128)[:255]
    audio = small_audio()
    first = await api.generate(script, key=key, seconds="8", audioBuffer=base64_of(audio))
    assert first.status == 202, first
    # The same, written otherwise.
    again = await api.generate(script, key=key, seconds=8, audioBuffer=list(audio), other=1)
    assert again.status == 202 and again.body["jobId"] == first.body["jobId"]
    await eventually("the provider has it", lambda: simulator.creates(script))
    third = await api.generate(script, key=key, seconds="8", audioBuffer=buffer(audio))
    assert third.status == 202 and third.body["jobId"] == first.body["jobId"]
    assert len(await simulator.creates(script)) == 1


@pytest.mark.parametrize("other", ["prompt", "audio", "no audio", "model", "seconds", "size"])
async def test_a_key_used_again_with_another_request_is_refused(stack: Stack, api: Api, other: str) -> None:
    key = secrets.token_hex(16)
    first: dict[str, Any] = {"scriptOrQuestion": prompt(), "audioBuffer": base64_of(small_audio())}
    changed = {
        "prompt": {"scriptOrQuestion": prompt()},
        "audio": {"audioBuffer": base64_of(small_audio()[:-1])},
        "no audio": {"audioBuffer": None},
        # What the default would have been is another request all the same: it was asked for.
        "model": {"model": "sora-2"},
        "seconds": {"seconds": "8"},
        "size": {"size": "1280x720"},
    }[other]
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    accepted = await post(api, json.dumps(first).encode(), headers)
    assert accepted.status == 202, accepted
    answer = await post(api, json.dumps(first | changed).encode(), headers)
    refused(stack, answer, 422, "idempotency_key_reused", "Idempotency-Key", "another request", "new key")
    # The first job is none the worse for it.
    assert small_audio() in [stored for stored, _ in narration(stack, accepted.body["jobId"])]


# jobId

ROUTES_OF_A_JOB = pytest.mark.parametrize("route", ["GET /api/status", "GET /api/download", "POST /api/cancel"])


@ROUTES_OF_A_JOB
@pytest.mark.parametrize("query", ["", "jobId=", "jobid=" + UNKNOWN, "job_id=" + UNKNOWN])
async def test_a_missing_job_id_is_refused(stack: Stack, api: Api, route: str, query: str) -> None:
    method, path = route.split()
    answer = await api.request(method, f"{path}?renderVersion=v3&{query}".rstrip("&"))
    refused(stack, answer, 400, "missing_job_id", "jobId", "missing")


@ROUTES_OF_A_JOB
@pytest.mark.parametrize(
    "job_id",
    [
        "1",
        "job_",
        UNKNOWN.removeprefix("job_"),
        UNKNOWN[:-1],
        UNKNOWN + "0",
        UNKNOWN.upper(),
        "job_" + "g" * 32,
        UNKNOWN + "%00",
        "%20" + UNKNOWN,
        "video%23video_1",
        "..%2F..%2Fetc%2Fpasswd",
        "%F0%9F%94%94",
        "%FF%FE",
        "%",
        "a" * 5000,
    ],
    ids=lambda job_id: job_id[:16],
)
async def test_a_malformed_job_id_is_refused(stack: Stack, api: Api, route: str, job_id: str) -> None:
    method, path = route.split()
    answer = await api.request(method, f"{path}?renderVersion=v3&jobId={job_id}")
    refused(stack, answer, 400, "invalid_job_id", "jobId", "job_ and 32 hexadecimal digits")


@ROUTES_OF_A_JOB
async def test_an_unknown_job_is_not_found(stack: Stack, api: Api, route: str) -> None:
    method, path = route.split()
    answer = await api.request(method, f"{path}?renderVersion=v3&jobId={UNKNOWN}")
    refused(stack, answer, 404, "job_not_found", "no job", "jobId")


async def test_a_job_past_its_time_to_live_is_gone_everywhere_and_its_key_is_free_again(
    stack: Stack, api: Api, watcher: Watcher
) -> None:
    script, key = prompt(), secrets.token_hex(16)
    first = (await api.generate(script, key=key)).body
    job_id = first["jobId"]
    await watcher.subscribe(job_id)
    finished = await watcher.completed(job_id)
    change_row(stack, job_id, "#ttl", {"#ttl": "ttl"}, int(time.time()) - 1)
    refused(stack, await api.status(job_id), 404, "job_not_found", "no job")
    refused(stack, (await api.download(job_id)).redirect, 404, "job_not_found", "no job")
    assert (await watcher.ask({"action": "subscribe", "jobId": job_id}))["code"] == "job_not_found"

    again = await api.generate(script, key=key)
    assert again.status == 202 and again.body["status"] == "queued", again
    assert again.body["jobId"] == job_id and again.body["version"] > finished["version"]


# Downloads


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def finished(stack: Stack, http: Any) -> AsyncIterator[str]:
    """A job that is completed."""
    job_id = await Api(stack, http).create(prompt())
    async with Watcher.open(stack) as watcher:
        await watcher.subscribe(job_id)
        await watcher.completed(job_id)
    yield job_id


@pytest.mark.parametrize("variant", [None, "thumbnail"])
async def test_a_video_that_is_not_ready_is_said_to_come_later(stack: Stack, api: Api, variant: str | None) -> None:
    job_id = await api.create(prompt("render=600"))
    answer = (await api.download(job_id, variant=variant)).redirect
    refused(stack, answer, 409, "not_ready", "not ready", "try again")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


async def test_a_failed_job_has_no_video(stack: Stack, api: Api, watcher: Watcher) -> None:
    job_id = await api.create(prompt("render=0 fail=moderation"))
    await watcher.subscribe(job_id)
    assert (await watcher.end_of(job_id))["status"] == "failed"
    refused(stack, (await api.download(job_id)).redirect, 410, "job_failed", "failed", "status")


async def test_an_expired_video_is_gone_for_every_client(stack: Stack, api: Api, watcher: Watcher) -> None:
    job_id = await api.create(prompt())
    await watcher.subscribe(job_id)
    await watcher.completed(job_id)
    change_row(stack, job_id, "#video.#end", {"#video": "video", "#end": "expiresAt"}, int(time.time() * 1000) - 1)
    refused(stack, (await api.download(job_id)).redirect, 410, "video_expired", "expired")
    refused(stack, (await api.download(job_id, variant="thumbnail")).redirect, 410, "video_expired", "expired")
    refused(stack, await api.download_link(job_id), 410, "video_expired", "expired")
    # The job itself is still known.
    assert (await api.status(job_id)).body["status"] == "completed"


@pytest.mark.parametrize("variant", ["poster", "Thumbnail", "video%00", "..%2Fvideo", "%F0%9F%94%94"])
async def test_an_unknown_variant_is_refused(stack: Stack, api: Api, finished: str, variant: str) -> None:
    answer = (await api.download(finished, variant=variant)).redirect
    refused(stack, answer, 400, "unknown_variant", "variant", "video or thumbnail")


async def test_a_thumbnail_that_could_not_be_had_is_not_found(stack: Stack, api: Api, watcher: Watcher) -> None:
    job_id = await api.create(prompt("render=0 thumbnail=missing"))
    await watcher.subscribe(job_id)
    await watcher.completed(job_id)
    refused(stack, (await api.download(job_id, variant="thumbnail")).redirect, 404, "no_thumbnail", "thumbnail")
    assert (await api.download(job_id)).content


# Routes and CORS


@pytest.mark.parametrize(
    "route",
    [
        "GET /api/",
        "GET /api/nothing",
        "GET /api/generate",
        "DELETE /api/generate",
        "PUT /api/generate",
        "POST /api/status",
        "POST /api/download",
        "GET /api/cancel",
        "DELETE /api/cancel",
        "GET /api/webhook/video-events",
        "POST /api/webhook/events",
        "GET /api/generate/../status/x",
        "GET /api/status/1",
        "GET /api/Status",
    ],
)
async def test_an_unknown_route_or_method_is_not_found(api: Api, route: str) -> None:
    method, path = route.split()
    answer = await api.request(method, f"{path}?renderVersion=v3")
    assert answer.status == 404, answer
    # API Gateway's own answer: no function of ours is behind it.
    assert answer.body == {"message": "Not Found"}


@pytest.mark.parametrize("path", ["/api/generate", "/api/status", "/api/download", "/api/cancel"])
async def test_a_page_of_another_origin_may_ask(api: Api, path: str) -> None:
    method = "POST" if path in ("/api/generate", "/api/cancel") else "GET"
    wanted = ["authorization", "content-type", "idempotency-key", "if-none-match"]
    answer = await api.request(
        "OPTIONS",
        f"{path}?renderVersion=v3",
        headers={
            "Origin": "https://page.example",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ",".join(wanted),
        },
    )
    assert answer.status in (200, 204), answer
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://page.example")
    assert method in words(answer.headers["Access-Control-Allow-Methods"].upper())
    assert set(wanted) <= set(words(answer.headers["Access-Control-Allow-Headers"].lower()))
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert answer.headers.getall("Access-Control-Allow-Origin") == [answer.headers["Access-Control-Allow-Origin"]]


async def test_a_page_of_another_origin_may_read_answers_and_refusals_alike(api: Api, finished: str) -> None:
    origin = {"Origin": "https://page.example"}
    unfinished = await api.create(prompt("render=600"))
    for path, status in [
        (f"/api/status?renderVersion=v3&jobId={finished}", 200),
        (f"/api/download?renderVersion=v3&jobId={finished}", 302),
        (f"/api/download?renderVersion=v3&jobId={unfinished}", 409),
        (f"/api/status?renderVersion=v3&jobId={UNKNOWN}", 404),
        ("/api/status?renderVersion=v3", 400),
    ]:
        answer = await api.request("GET", path, headers=origin)
        assert answer.status == status, answer
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", origin["Origin"])
        exposed = set(words(answer.headers["Access-Control-Expose-Headers"].lower()))
        assert {"etag", "retry-after"} <= exposed


def words(header: str) -> list[str]:
    return [word.strip() for word in header.split(",")]
