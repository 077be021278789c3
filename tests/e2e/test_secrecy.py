"""Nothing that callers send, and nothing that the stack is trusted with, is ever written into a log.

What the other tests sent before counts too; what is sent here is enough for this file alone.
"""

from __future__ import annotations

import base64
import secrets

import pytest
import signing
from client import Api, Watcher, eventually, unique_prompt
from local.stack import Stack
from secrecy import HUSH, leaks, small_audio

pytestmark = pytest.mark.asyncio(loop_scope="session")

GENERATE = "/api/generate?renderVersion=v3"
WEBHOOK = "/api/webhook/video-events"
JSON = {"Content-Type": "application/json"}


async def test_no_log_holds_what_was_sent_or_what_is_secret(stack: Stack, api: Api, watcher: Watcher) -> None:
    token = f"token-{secrets.token_hex(16)}"
    audio = base64.b64encode(small_audio()).decode()

    # A whole job, with narration: what is sent goes through every function.
    done = await api.create(unique_prompt(f"A bell {HUSH}", "render=0"), audioBuffer=audio, key=HUSH)
    await watcher.subscribe(done)
    await watcher.completed(done)
    # A job that the provider refuses in words of its own, which hold the prompt or not.
    refused = await api.create(unique_prompt(f"A bell {HUSH}", "create=refused"))
    await watcher.subscribe(refused)
    await watcher.end_of(refused)
    # Requests, webhooks and messages that are refused.
    bearer = {"Authorization": f"Bearer {token}"}
    await api.request("POST", GENERATE, data=f"no JSON {HUSH}".encode(), headers=JSON | bearer)
    await api.request("POST", GENERATE, json={"scriptOrQuestion": f"{HUSH} " * 5000}, headers=bearer)
    await api.request("POST", GENERATE, json={"scriptOrQuestion": "x", "audioBuffer": f"!{audio}"})
    await api.request("POST", GENERATE, json={"scriptOrQuestion": "x"}, headers={"Idempotency-Key": HUSH * 20})
    await api.request("GET", f"/api/status?renderVersion={HUSH}&jobId={HUSH}")
    await api.request("GET", f"/api/download?renderVersion=v3&jobId={HUSH}")
    await api.request("POST", f"/api/cancel?renderVersion=v3&jobId={HUSH}", data=HUSH.encode())
    await api.request("GET", "/api/webhook/events", headers=bearer)
    event = signing.event("video.completed", {"id": f"video_{secrets.token_hex(12)}"}, note=HUSH)
    signed = signing.headers(stack.webhook_secret, event)
    await api.request("POST", WEBHOOK, data=event, headers=JSON | signed)
    await api.request("POST", WEBHOOK, data=event + b" ", headers=JSON | signed)
    no_event = f'{{"note":"{HUSH}"}}'.encode()
    await api.request("POST", WEBHOOK, data=no_event, headers=JSON | signing.headers(stack.webhook_secret, no_event))
    for message in (HUSH, {"action": HUSH}, {"action": "subscribe", "jobId": HUSH}):
        await watcher.ask(message)

    async def last_message_is_logged() -> bool:
        return any("invalid_job_id" in event["message"] for event in stack.function_logs("ws-message"))

    await eventually("the last of it is in the log", last_message_is_logged)
    assert leaks(stack, ["job created"]), "The search finds nothing that is there."
    assert leaks(stack, [token]) == []


async def test_a_job_s_row_forgets_its_prompt_once_the_provider_has_it(
    stack: Stack, api: Api, watcher: Watcher
) -> None:
    audio = base64.b64encode(small_audio()).decode()
    job_id = await api.create(unique_prompt(f"A bell {HUSH}", "render=0"), audioBuffer=audio)
    await watcher.subscribe(job_id)
    await watcher.completed(job_id)
    key = {"jobId": {"S": job_id}}
    row = stack.client("dynamodb").get_item(TableName=stack.outputs["JobsTable"], Key=key, ConsistentRead=True)["Item"]
    assert HUSH not in str(row) and audio[:40] not in str(row)
