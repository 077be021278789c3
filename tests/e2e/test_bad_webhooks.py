"""Webhooks as nobody should send them. Whatever is wrong with the headers, the sender learns just that it is refused."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio
import signing
from client import Answer, Api, eventually
from local.stack import Stack
from refusals import refused
from secrecy import HUSH

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/api/webhook/video-events"
JSON = [("Content-Type", "application/json")]
# For the time between signing and verifying.
SLACK = 20

Headers = dict[str, str] | list[tuple[str, str]]


def video_event() -> bytes:
    return signing.event("video.completed", {"id": f"video_{secrets.token_hex(12)}"}, note=HUSH)


async def deliver(api: Api, body: bytes, headers: Headers, media_type: str | None = "application/json") -> Answer:
    headers = [*pairs(headers), *([("Content-Type", media_type)] if media_type else [])]
    return await api.request("POST", PATH, data=body, headers=headers, skip_auto_headers=["Content-Type"])


def pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, dict) else headers


def received(answer: Answer) -> bool:
    return answer.status == 200 and answer.body == {"received": True}


class Case:
    """A rightly signed webhook, and what one may do to its headers."""

    def __init__(self, secret: str):
        self.secret = secret
        self.body = video_event()
        self.right = signing.headers(secret, self.body)

    def signed(self, **how: Any) -> Headers:
        return signing.headers(self.secret, self.body, **how)

    def changed(self, **headers: str | None) -> Headers:
        """With these headers (`id`, `timestamp`, `signature`) replaced, or left out."""
        changes = {f"webhook-{name}": value for name, value in headers.items()}
        return {name: value for name, value in (self.right | changes).items() if value is not None}

    def doubled(self, name: str, second: str | None = None) -> Headers:
        """With one header sent twice."""
        return [*self.right.items(), (f"webhook-{name}", second or self.right[f"webhook-{name}"])]

    def joined(self, name: str) -> Headers:
        """With one header twice in one line, as API Gateway joins them."""
        value = self.right[f"webhook-{name}"]
        return self.changed(**{name: f"{value},{value}"})

    @property
    def code(self) -> str:
        """The signature alone, in base64."""
        return self.right["webhook-signature"].removeprefix("v1,")


def by_another_key(case: Case) -> Headers:
    other = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return signing.headers(other, case.body)


def over_another_body(case: Case) -> Headers:
    return case.right | signing.headers(case.secret, case.body + b" ", webhook_id=case.right["webhook-id"])


BAD_HEADERS: dict[str, Callable[[Case], Headers]] = {
    # Missing
    "none at all": lambda case: {},
    "no id": lambda case: case.changed(id=None),
    "no timestamp": lambda case: case.changed(timestamp=None),
    "no signature": lambda case: case.changed(signature=None),
    "svix's names": lambda case: {name.replace("webhook", "svix"): value for name, value in case.right.items()},
    "an empty id": lambda case: case.signed(webhook_id=""),
    "an empty timestamp": lambda case: case.signed(timestamp=""),
    "an empty signature": lambda case: case.changed(signature=""),
    # Bad
    "signed with another key": by_another_key,
    "signed over another body": over_another_body,
    "signed over another id": lambda case: case.changed(id=f"wh_{secrets.token_hex(16)}"),
    "signed over another timestamp": lambda case: case.changed(timestamp=str(int(case.right["webhook-timestamp"]) - 1)),
    "a signature without its version": lambda case: case.changed(signature=case.code),
    "a signature of another version": lambda case: case.changed(signature=f"v2,{case.code}"),
    "an asymmetric signature": lambda case: case.changed(signature=f"v1a,{case.code}"),
    "an upper-case version": lambda case: case.changed(signature=f"V1,{case.code}"),
    "a signature in hexadecimal": lambda case: case.changed(signature=f"v1,{base64.b64decode(case.code).hex()}"),
    "a signature cut off": lambda case: case.changed(signature=f"v1,{case.code[:-8]}"),
    "a first part of the signature": lambda case: case.changed(
        signature=f"v1,{base64.b64encode(base64.b64decode(case.code)[:16]).decode()}"
    ),
    "a version and nothing": lambda case: case.changed(signature="v1,"),
    "a signature that is no base64": lambda case: case.changed(signature="v1,%%%%"),
    "many signatures and none right": lambda case: case.changed(signature=" ".join(["v1,AAAA"] * 20)),
    "an id with a space": lambda case: case.signed(webhook_id="wh_1 wh_2"),
    "an id of no ASCII": lambda case: case.signed(webhook_id="wh_é"),
    "a timestamp in words": lambda case: case.signed(timestamp="now"),
    "a timestamp in milliseconds": lambda case: case.signed(timestamp=str(int(time.time() * 1000))),
    "a timestamp with a fraction": lambda case: case.signed(timestamp=f"{int(time.time())}.0"),
    "a timestamp with a sign": lambda case: case.signed(timestamp=f"+{int(time.time())}"),
    "a timestamp with a zero in front": lambda case: case.signed(timestamp=f"0{int(time.time())}"),
    "a negative timestamp": lambda case: case.signed(timestamp=f"-{int(time.time())}"),
    "a timestamp in hexadecimal": lambda case: case.signed(timestamp=hex(int(time.time()))),
    "the timestamp i64::MIN": lambda case: case.signed(timestamp=str(-(2**63))),
    "the timestamp i64::MAX": lambda case: case.signed(timestamp=str(2**63 - 1)),
    "a timestamp past i64": lambda case: case.signed(timestamp=str(2**63)),
    # Stale, and from the future
    "stale": lambda case: case.signed(age=300 + SLACK),
    "stale by a day": lambda case: case.signed(age=24 * 60 * 60),
    "the timestamp 0": lambda case: case.signed(timestamp="0"),
    "from the future": lambda case: case.signed(age=-300 - SLACK),
    "from far in the future": lambda case: case.signed(age=-(10**9)),
    # Doubled
    "the id twice": lambda case: case.doubled("id"),
    "two ids": lambda case: case.doubled("id", "wh_2"),
    "the timestamp twice": lambda case: case.doubled("timestamp"),
    "two timestamps": lambda case: case.doubled("timestamp", "1"),
    "the signature twice": lambda case: case.doubled("signature"),
    "the id joined to itself": lambda case: case.joined("id"),
    "the timestamp joined to itself": lambda case: case.joined("timestamp"),
    "the signature joined to itself": lambda case: case.joined("signature"),
    # Overlong
    "an overlong id": lambda case: case.signed(webhook_id="wh_" + "0" * 254),
    "a very long id": lambda case: case.signed(webhook_id="w" * 4000),
    "an overlong timestamp": lambda case: case.signed(timestamp="0" * 20 + str(int(time.time()))),
    "an overlong signature": lambda case: case.changed(signature=f"{'v1,AAAA ' * 200}v1,{case.code}"),
}


class Refusal(NamedTuple):
    """What was answered to a webhook with bad headers, and which video it was about."""

    answer: Answer
    raw: bytes
    video_id: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def refusals(stack: Stack, http: aiohttp.ClientSession) -> dict[str, Refusal]:
    """Every one of the bad headers, sent once."""
    given = {}
    for wrong, spoil in BAD_HEADERS.items():
        case = Case(stack.webhook_secret)
        async with http.post(stack.base_url + PATH, data=case.body, headers=[*JSON, *pairs(spoil(case))]) as answer:
            raw = await answer.read()
            video_id = json.loads(case.body)["data"]["id"]
            given[wrong] = Refusal(Answer(answer.status, json.loads(raw), answer.headers), raw, video_id)
    return given


@pytest.mark.parametrize("wrong", BAD_HEADERS)
async def test_bad_headers_are_refused(stack: Stack, refusals: dict[str, Refusal], wrong: str) -> None:
    refused(stack, refusals[wrong].answer, 400, "invalid_signature", "signature", "not valid")


async def test_all_refusals_are_the_same_to_the_last_byte(refusals: dict[str, Refusal]) -> None:
    def told(refusal: Refusal) -> tuple[Any, ...]:
        # What differs with every answer of the server says nothing.
        always_new = ("date", "x-amzn-requestid", "apigw-requestid")
        headers = [(name, value) for name, value in refusal.answer.headers.items() if name.lower() not in always_new]
        return refusal.answer.status, refusal.raw, tuple(sorted(headers))

    different: dict[tuple[Any, ...], list[str]] = {}
    for wrong, refusal in refusals.items():
        different.setdefault(told(refusal), []).append(wrong)
    assert len(different) == 1, different


async def test_nothing_that_was_refused_is_in_the_audit_trail(api: Api, refusals: dict[str, Refusal]) -> None:
    listed = {event.get("videoId") for event in (await api.events()).body["events"]}
    assert [wrong for wrong, refusal in refusals.items() if refusal.video_id in listed] == []


async def test_the_functions_log_says_why_a_webhook_was_refused(stack: Stack, api: Api) -> None:
    """The sender isn't told; the operator is."""
    case = Case(stack.webhook_secret)
    for headers in (case.changed(timestamp=None), case.signed(age=400), by_another_key(case)):
        await deliver(api, case.body, headers)
    reasons = ["the header webhook-timestamp is missing", "the timestamp is too old", "no signature matches"]

    async def said() -> bool:
        lines = [event["message"] for event in stack.function_logs("webhook") if "refused" in event["message"]]
        return all(any(reason in line for line in lines) for reason in reasons)

    await eventually("all three reasons are in the log", said)


@pytest.mark.parametrize("age", [0, 300 - SLACK, SLACK - 300])
async def test_a_timestamp_may_be_five_minutes_off(stack: Stack, api: Api, age: int) -> None:
    body = video_event()
    assert received(await deliver(api, body, signing.headers(stack.webhook_secret, body, age=age)))


async def test_headers_at_their_limits_are_accepted(stack: Stack, api: Api) -> None:
    case = Case(stack.webhook_secret)
    assert received(await deliver(api, case.body, case.signed(webhook_id=secrets.token_hex(128))))
    # A provider that rotates its secret signs with both; one of them is ours.
    several = case.changed(signature=f"v1,{'A' * 43}= v1a,AAAA v1,{case.code}")
    assert received(await deliver(api, case.body, several))


# Bodies


@pytest.mark.parametrize("media_type", ["application/octet-stream", None, "application/x-www-form-urlencoded"])
async def test_a_body_that_api_gateway_encodes_is_verified_as_it_was_sent(
    stack: Stack, api: Api, media_type: str | None
) -> None:
    video_id = f"video_{secrets.token_hex(12)}"
    # Not what re-encoding would give: white space, escapes and bytes beyond ASCII have to stay as they are.
    text = f'{{ "id":"evt_\\u0031", "type":"video.completed",\n"data":{{"id":"{video_id}"}}, "note":"läutet 🔔 {HUSH}" }} \r\n'
    body = text.encode()
    headers = signing.headers(stack.webhook_secret, body)
    assert received(await deliver(api, body, headers, media_type))
    [event] = await api.events_of(video_id)
    assert (event["webhookId"], event["eventId"], event["type"]) == (headers["webhook-id"], "evt_1", "video.completed")


@pytest.mark.parametrize(
    "body", [b'{"id":"evt_\xff","type":"video.completed","data":{"id":"v"}}', b"\xff\xfe", b"\x80" * 64]
)
async def test_a_signed_body_that_is_not_utf_8_is_no_event(stack: Stack, api: Api, body: bytes) -> None:
    headers = signing.headers(stack.webhook_secret, body)
    refused(stack, await deliver(api, body, headers, "application/octet-stream"), 400, "invalid_event", "not an event")
    # Nothing of it gets as far as that without a signature.
    answer = await deliver(api, body, by_another_key(Case(stack.webhook_secret)), "application/octet-stream")
    refused(stack, answer, 400, "invalid_signature")


@pytest.mark.parametrize("media_type", ["application/json", "application/octet-stream"])
async def test_a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not(
    stack: Stack, api: Api, media_type: str
) -> None:
    limit = 256 * 1024
    full = video_event().ljust(limit)
    assert received(await deliver(api, full, signing.headers(stack.webhook_secret, full), media_type))
    over = full + b" "
    answer = await deliver(api, over, signing.headers(stack.webhook_secret, over), media_type)
    refused(stack, answer, 413, "body_too_large", "256 KB")
    refused(stack, await deliver(api, b"x" * 1_000_000, {}, media_type), 413, "body_too_large", "256 KB")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"hello",
        b"null",
        b"[]",
        b'"video.completed"',
        b"{}",
        b'{"id":"evt_1"}',
        b'{"type":"video.completed"}',
        b'{"id":7,"type":"video.completed","data":{"id":"video_1"}}',
        b'{"id":"evt_1","type":null,"data":{"id":"video_1"}}',
        b'{"id":"","type":"video.completed","data":{"id":"video_1"}}',
        b'{"id":"evt_1","type":"","data":{"id":"video_1"}}',
        b'{"id":"evt_1","type":"video.completed"}',
        b'{"id":"evt_1","type":"video.completed","data":null}',
        b'{"id":"evt_1","type":"video.completed","data":"video_1"}',
        b'{"id":"evt_1","type":"video.completed","data":{}}',
        b'{"id":"evt_1","type":"video.failed","data":{"id":7}}',
        b'{"id":"evt_1","type":"video.failed","data":{"id":""}}',
        b'{"id":"evt_1","type":"video.completed","data":{"id":"video_1"}} {}',
        b'{"id":"evt_1","type":"video.completed","data":{"id":"' + b"v" * 3000 + b'"}}',
        b'{"id":"evt_1","type":"' + b"t" * 3000 + b'"}',
        b'{"id":"evt_1","type":"deep","data":' + b"[" * 100_000,
        b'{"id":"evt_1","type":"deep","data":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
    ids=lambda body: repr(body[:60]),
)
async def test_a_signed_body_that_is_no_event_is_refused(stack: Stack, api: Api, body: bytes) -> None:
    answer = await deliver(api, body, signing.headers(stack.webhook_secret, body))
    refused(stack, answer, 400, "invalid_event", "body", "not an event")


# Events that are none of our business


@pytest.mark.parametrize("type", ["response.completed", "video.deleted", "VIDEO.COMPLETED", "ping", "🔔"])
async def test_an_event_of_an_unknown_type_is_received_and_ignored(stack: Stack, api: Api, type: str) -> None:
    thing = f"thing_{secrets.token_hex(12)}"
    body = signing.event(type, {"id": thing})
    headers = signing.headers(stack.webhook_secret, body)
    for _ in range(2):
        assert received(await deliver(api, body, headers))
    [event] = await api.events_of(thing)
    assert (event["webhookId"], event["type"]) == (headers["webhook-id"], type)
    assert (event["outcome"], event["deliveries"]) == ("ignored", 2)
    assert "jobId" not in event


@pytest.mark.parametrize("data", [None, 7, [], "x", {"id": 7}, {"id": {"id": "x"}}], ids=repr)
async def test_an_event_of_an_unknown_type_may_carry_anything(stack: Stack, api: Api, data: Any) -> None:
    body = signing.event("batch.completed", data)
    headers = signing.headers(stack.webhook_secret, body)
    assert received(await deliver(api, body, headers))
    listed = {event["webhookId"]: event["outcome"] for event in (await api.events()).body["events"]}
    assert listed[headers["webhook-id"]] == "ignored"


@pytest.mark.parametrize("type", ["video.completed", "video.failed"])
async def test_an_event_of_an_unknown_video_is_received_and_unmatched(stack: Stack, api: Api, type: str) -> None:
    video_id = f"video_{secrets.token_hex(12)}"
    body = signing.event(type, {"id": video_id})
    assert received(await deliver(api, body, signing.headers(stack.webhook_secret, body)))

    async def looked_at() -> dict[str, Any] | None:
        [event] = await api.events_of(video_id)
        return event if event["outcome"] != "received" else None

    event = await eventually("the worker has looked at the event", looked_at)
    assert event["outcome"] == "unmatched" and "jobId" not in event and event["processedAt"]


async def test_the_audit_trail_holds_no_bodies(stack: Stack, api: Api) -> None:
    body = video_event()
    assert received(await deliver(api, body, signing.headers(stack.webhook_secret, body)))
    answer = await api.events()
    assert answer.status == 200
    assert HUSH not in json.dumps(answer.body)


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1.5", "all", "", "99999999999999999999"])
async def test_an_impossible_limit_is_refused(stack: Stack, api: Api, limit: str) -> None:
    headers = {"Authorization": f"Bearer {stack.operator_token}"}
    answer = await api.request("GET", f"/api/webhook/events?limit={limit}", headers=headers)
    refused(stack, answer, 400, "invalid_limit", "limit", "1 to 100")
