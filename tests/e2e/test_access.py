"""Who may do what: tokens, on a stack that asks for both; and what is told when the stack itself is broken."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator

import aiohttp
import pytest
import signing
from client import Answer, Api, Simulator, eventually, unique_prompt
from local.stack import ROOT, Ports, Stack
from refusals import refused
from secrecy import HUSH, leaks, small_audio

pytestmark = pytest.mark.asyncio(loop_scope="session")

GENERATE = "/api/generate?renderVersion=v3"
EVENTS = "/api/webhook/events"
TOKEN = "access-token-of-these-tests"
OPERATOR_TOKEN = "operator-token-of-these-tests"

WRONG = {
    "none": [],
    "an empty one": [""],
    "no token": ["Bearer"],
    "an empty token": ["Bearer "],
    "another token": ["Bearer another-token-than-the-right-one"],
    "a first part": ["Bearer {token:.10}"],
    "more than the token": ["Bearer {token}x"],
    "upper case": ["Bearer {TOKEN}"],
    "no scheme": ["{token}"],
    "another scheme": ["Basic {token}"],
    "basic credentials": ["Basic {base64}"],
    "a scheme that only begins so": ["BearerX {token}"],
    "two of them": ["Bearer {token}", "Bearer {token}"],
    "no ASCII": ["Bearer clé"],
}


def authorization(wrong: str, token: str) -> list[tuple[str, str]]:
    encoded = base64.b64encode(f"user:{token}".encode()).decode()
    values = (value.format(token=token, TOKEN=token.upper(), base64=encoded) for value in WRONG[wrong])
    return [("Authorization", value) for value in values]


@pytest.fixture(scope="module")
def guarded_stack() -> Iterator[Stack]:
    """A second stack, deployed as on AWS: with an access token."""
    parameters = {"AccessToken": TOKEN, "OperatorToken": OPERATOR_TOKEN}
    with Stack(Ports.free(), render_seconds=0, parameters=parameters) as running:
        yield running


@pytest.fixture
def guarded_api(guarded_stack: Stack, http: aiohttp.ClientSession) -> Api:
    return Api(guarded_stack, http)


async def order(api: Api, prompt: str, headers: list[tuple[str, str]], query: str = "?renderVersion=v3") -> Answer:
    return await api.request("POST", f"/api/generate{query}", json={"scriptOrQuestion": prompt}, headers=headers)


@pytest.mark.parametrize("wrong", WRONG)
async def test_without_the_access_token_no_video_can_be_ordered(
    guarded_stack: Stack, guarded_api: Api, http: aiohttp.ClientSession, wrong: str
) -> None:
    prompt = unique_prompt(f"A bell {HUSH}")
    answer = await order(guarded_api, prompt, authorization(wrong, TOKEN))
    refused(guarded_stack, answer, 401, "unauthorized", "access token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in json.dumps(answer.body)
    assert await Simulator(guarded_stack, http).creates(prompt) == []


async def test_who_has_no_token_learns_nothing_else(guarded_stack: Stack, guarded_api: Api) -> None:
    for query, body in [("", b"{}"), ("?renderVersion=v1", b"no JSON"), ("?renderVersion=v3", b"x" * 5_600_000)]:
        answer = await guarded_api.request("POST", f"/api/generate{query}", data=body)
        refused(guarded_stack, answer, 401, "unauthorized", "access token")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_with_the_access_token_a_video_is_made(
    guarded_stack: Stack, guarded_api: Api, http: aiohttp.ClientSession, scheme: str
) -> None:
    prompt = unique_prompt(f"A bell {HUSH}")
    answer = await order(guarded_api, prompt, [("Authorization", f"{scheme} {TOKEN}")])
    assert answer.status == 202, answer
    await eventually("the provider has it", lambda: Simulator(guarded_stack, http).creates(prompt))
    # Whoever has the job's id may follow it.
    assert (await guarded_api.status(answer.body["jobId"])).status == 200


async def test_a_right_token_with_a_bad_request_is_a_bad_request(guarded_stack: Stack, guarded_api: Api) -> None:
    right = [("Authorization", f"Bearer {TOKEN}")]
    refused(guarded_stack, await order(guarded_api, "", right), 400, "invalid_script", "scriptOrQuestion")
    answer = await order(guarded_api, "x", right, query="")
    refused(guarded_stack, answer, 400, "unsupported_render_version", "renderVersion")


@pytest.mark.parametrize("wrong", WRONG)
async def test_without_the_operators_token_the_audit_trail_is_closed(
    guarded_stack: Stack, guarded_api: Api, wrong: str
) -> None:
    headers = authorization(wrong, OPERATOR_TOKEN)
    answer = await guarded_api.request("GET", EVENTS, headers=headers)
    refused(guarded_stack, answer, 401, "unauthorized", "access token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_one_token_does_not_do_for_the_other(guarded_stack: Stack, guarded_api: Api) -> None:
    answer = await guarded_api.request("GET", EVENTS, headers={"Authorization": f"Bearer {TOKEN}"})
    refused(guarded_stack, answer, 401, "unauthorized", "access token")
    answer = await order(guarded_api, "x", [("Authorization", f"Bearer {OPERATOR_TOKEN}")])
    refused(guarded_stack, answer, 401, "unauthorized", "access token")


async def test_with_the_operators_token_it_is_open(guarded_api: Api) -> None:
    answer = await guarded_api.events(token=OPERATOR_TOKEN)
    assert answer.status == 200 and isinstance(answer.body["events"], list)


async def test_a_local_stack_may_be_open_to_all_but_its_audit_trail_is_not(stack: Stack, api: Api) -> None:
    assert (await order(api, unique_prompt(f"A bell {HUSH}", "render=0"), [])).status == 202
    refused(stack, await api.request("GET", EVENTS), 401, "unauthorized", "access token")


# The rule of the template that says the same is one of tests/template.
@pytest.mark.parametrize("token", [None, ""], ids=["no ACCESS_TOKEN", "an empty ACCESS_TOKEN"])
async def test_on_aws_the_function_does_not_start_without_an_access_token(token: str | None) -> None:
    ended = start_create_job({} if token is None else {"ACCESS_TOKEN": token})
    assert ended.returncode != 0
    assert "ACCESS_TOKEN" in ended.stdout + ended.stderr, ended


async def test_with_a_token_or_on_a_local_stack_it_gets_further() -> None:
    for environment in ({"ACCESS_TOKEN": TOKEN}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}):
        ended = start_create_job(environment)
        # There is no Lambda here that it could serve.
        assert "ACCESS_TOKEN" not in ended.stdout + ended.stderr, ended


def start_create_job(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    binary = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "create-job"
    complete = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "test",
        "JOBS_TABLE": "jobs",
        "JOB_ID_SECRET": "0123456789abcdef",
        "VIDEOS_BUCKET": "videos",
        "WORK_QUEUE_URL": "http://127.0.0.1:1/queue",
        **environment,
    }
    return subprocess.run([binary], env=complete, capture_output=True, text=True, timeout=20, check=False)


# From here on the guarded stack is broken.


async def test_when_a_table_is_gone_the_caller_learns_just_when_to_try_again(
    guarded_stack: Stack, guarded_api: Api
) -> None:
    database = guarded_stack.client("dynamodb")
    for table in ("WebhookEventsTable", "JobsTable"):
        database.delete_table(TableName=guarded_stack.outputs[table])

    event = signing.event("video.completed", {"id": "video_1"}, note=HUSH)
    answers = {
        "webhook": await guarded_api.request(
            "POST",
            "/api/webhook/video-events",
            data=event,
            headers=signing.headers(guarded_stack.webhook_secret, event) | {"Content-Type": "application/json"},
        ),
        "webhook-events": await guarded_api.events(token=OPERATOR_TOKEN),
        "create-job": await guarded_api.request(
            "POST",
            GENERATE,
            json={"scriptOrQuestion": HUSH, "audioBuffer": list(small_audio())},
            headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": HUSH},
        ),
        "job-status": await guarded_api.status("job_" + "0" * 32),
        "download": (await guarded_api.download("job_" + "0" * 32)).redirect,
        "cancel-job": await guarded_api.cancel("job_" + "0" * 32),
    }
    for function, answer in answers.items():
        body = refused(guarded_stack, answer, 503, "unavailable", "try again")
        assert int(answer.headers["Retry-After"]) >= 1
        assert body["requestId"]

        async def logged(function: str = function, request_id: str = body["requestId"]) -> list[str]:
            lines = [event["message"] for event in guarded_stack.function_logs(function)]
            return [line for line in lines if request_id in line and "ResourceNotFoundException" in line]

        # The operator finds the cause under the id that the caller was given.
        assert len(await eventually(f"{function} has logged its failure", logged)) == 1


async def test_nothing_secret_was_logged(guarded_stack: Stack) -> None:
    assert leaks(guarded_stack, [TOKEN, OPERATOR_TOKEN]) == []
