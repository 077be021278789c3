"""WebSocket messages that can't be followed: each is answered with what is wrong, and the connection stays usable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from client import Watcher
from local.stack import Stack
from refusals import is_clear
from secrecy import HUSH

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNKNOWN = "job_" + "0123456789abcdef" * 2


async def refusal(
    stack: Stack, watcher: Watcher, message: str | dict[str, Any], code: str, *named: str
) -> dict[str, Any]:
    """Asserts that the message is answered by this error alone, and that the connection is as good as before."""
    before = len(watcher.received)
    answer = await watcher.ask(message)
    assert (answer["type"], answer.get("code")) == ("error", code), answer
    assert answer["timestamp"].endswith("Z")
    is_clear(stack, {name: answer[name] for name in ("error", "code")}, *named)
    assert HUSH not in json.dumps(answer)
    assert (await watcher.ask({"action": "ping"}))["type"] == "pong"
    assert len(watcher.received) == before + 2
    return answer


@pytest.mark.parametrize(
    "message",
    [
        "hello",
        "{",
        '{"action":"ping"',
        "{'action':'ping'}",
        '{"action":"ping"} {}',
        "\x00",
        "🔔",
        f"subscribe {HUSH}",
        "x" * 30_000,
        # Deeper than a parser may follow it.
        "[" * 500,
    ],
    ids=lambda message: repr(message[:20]),
)
async def test_a_message_that_is_not_json_is_refused(stack: Stack, watcher: Watcher, message: str) -> None:
    await refusal(stack, watcher, message, "invalid_message", "JSON object", "action")


@pytest.mark.parametrize("message", ["null", "7", "true", '"ping"', "[]", '["action","ping"]', '[{"action":"ping"}]'])
async def test_a_message_that_is_no_object_is_refused(stack: Stack, watcher: Watcher, message: str) -> None:
    await refusal(stack, watcher, message, "invalid_message", "JSON object", "action")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"jobId": UNKNOWN},
        {"Action": "ping"},
        {"action": None},
        {"action": 7},
        {"action": ""},
        {"action": ["ping"]},
        {"action": {"action": "ping"}},
        {"note": HUSH},
    ],
    ids=repr,
)
async def test_a_message_without_an_action_is_refused(stack: Stack, watcher: Watcher, message: dict[str, Any]) -> None:
    await refusal(stack, watcher, message, "missing_action", "action", "subscribe", "unsubscribe", "ping")


@pytest.mark.parametrize("action", ["dance", "Ping", "ping ", "SUBSCRIBE", "$default", "🔔", HUSH, "x" * 10_000])
async def test_an_unknown_action_is_refused(stack: Stack, watcher: Watcher, action: str) -> None:
    message = {"action": action, "jobId": UNKNOWN}
    await refusal(stack, watcher, message, "unknown_action", "action", "subscribe", "unsubscribe", "ping")


ACTIONS = pytest.mark.parametrize("action", ["subscribe", "unsubscribe"])


@ACTIONS
@pytest.mark.parametrize(
    "job", [{}, {"jobId": None}, {"jobId": 7}, {"jobId": ""}, {"jobId": [UNKNOWN]}, {"jobid": UNKNOWN}], ids=repr
)
async def test_a_message_without_a_job_id_is_refused(
    stack: Stack, watcher: Watcher, action: str, job: dict[str, Any]
) -> None:
    await refusal(stack, watcher, {"action": action, **job}, "missing_job_id", "jobId")


@ACTIONS
@pytest.mark.parametrize(
    "job_id",
    [
        "1",
        "job_",
        UNKNOWN[:-1],
        UNKNOWN + "0",
        UNKNOWN.upper(),
        f"{UNKNOWN}\n",
        "connection",
        "video#1",
        HUSH,
        "j" * 20_000,
    ],
    ids=lambda job_id: repr(job_id[:16]),
)
async def test_a_malformed_job_id_is_refused(stack: Stack, watcher: Watcher, action: str, job_id: str) -> None:
    message = {"action": action, "jobId": job_id}
    await refusal(stack, watcher, message, "invalid_job_id", "jobId", "job_ and 32 hexadecimal digits")


async def test_an_unknown_job_is_said_to_be_so_and_nothing_is_left_of_the_subscription(
    stack: Stack, watcher: Watcher
) -> None:
    answer = await refusal(
        stack, watcher, {"action": "subscribe", "jobId": UNKNOWN}, "job_not_found", "no job", "jobId"
    )
    # A client that watches several jobs has to know which is meant.
    assert answer["jobId"] == UNKNOWN
    rows = stack.client("dynamodb").query(
        TableName=stack.outputs["ConnectionsTable"],
        KeyConditionExpression="jobId = :job",
        ExpressionAttributeValues={":job": {"S": UNKNOWN}},
        ConsistentRead=True,
    )
    assert rows["Items"] == []


async def test_to_unsubscribe_from_what_one_does_not_watch_is_no_error(watcher: Watcher) -> None:
    answer = await watcher.ask({"action": "unsubscribe", "jobId": UNKNOWN})
    assert (answer["type"], answer["jobId"]) == ("unsubscribed", UNKNOWN)


async def test_unknown_fields_are_ignored(watcher: Watcher) -> None:
    answer = await watcher.ask({"action": "ping", "jobId": 7, "unheardOf": {"deep": [1]}})
    assert answer["type"] == "pong"


@pytest.mark.parametrize("route", ["$connect", "$disconnect"])
async def test_a_message_that_names_a_route_of_api_gateway_s_own_ends_nothing(watcher: Watcher, route: str) -> None:
    """Where such a message goes is API Gateway's to say, and so is whether it is answered."""
    await watcher.send({"action": route})
    answers = [await watcher.ask({"action": "ping"}) for _ in range(2)]
    assert answers[-1]["type"] == "pong", answers
