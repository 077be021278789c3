"""The client, and what its README says, from order to file on the deployed local stack."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from client import PATIENT, Api, Simulator, connection_manager, eventually, unique_prompt
from fake_api import WEB
from local.stack import Stack
from playwright.async_api import BrowserContext, Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPT = "A bell rings in the snow"
WITH_CLIENT, PLAIN = re.findall(r"```js\n(.*?)```", (WEB / "README.md").read_text(), re.DOTALL)

# A file as a text, to be compared: by its digest.
DIGEST = """async (blob) => {
  const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}"""

FOLLOW = """async (prompt) => {
  const { createClient } = await import("/clipbell.js");
  const clips = createClient();
  window.connections = [];
  clips.addEventListener("connection", ({ detail }) => connections.push(detail));
  const job = await clips.generate({ scriptOrQuestion: prompt });
  window.versions = [];
  job.addEventListener("update", ({ detail }) => versions.push(detail.version));
  window.end = job.done.catch(({ code }) => ({ code }));
  return job.id;
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere() -> AsyncIterator[str]:
    """The origin of a page that is not the API's: it has the client, and nothing else."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(
            text='<!doctype html><title>Elsewhere</title><link rel="icon" href="data:,">', content_type="text/html"
        )

    async def client(request: web.Request) -> web.FileResponse:
        return web.FileResponse(WEB / "clipbell.js")

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/clipbell.js", client)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    await runner.cleanup()


@pytest.mark.parametrize("snippet", [WITH_CLIENT, PLAIN], ids=["client", "plain"])
@pytest.mark.parametrize("origin", ["same", "other"])
async def test_what_the_readme_says_gives_the_very_file(
    page: Page, stack: Stack, simulator: Simulator, elsewhere: str, snippet: str, origin: str
) -> None:
    prompt = unique_prompt()
    assert PROMPT in snippet and "https://clips.example.com" in snippet
    snippet = snippet.replace(PROMPT, prompt).replace("https://clips.example.com", stack.base_url)
    snippet = re.sub(r'import (.*) from "clipbell";', r'const \1 = await import("/clipbell.js");', snippet)
    await page.goto(stack.base_url if origin == "same" else elsewhere)
    digest = await page.evaluate(f"async () => {{ {snippet}\n return ({DIGEST})(video); }}")
    content = await simulator.content((await simulator.video(prompt))["id"])
    assert digest == hashlib.sha256(content).hexdigest()


async def test_a_socket_that_is_cut_again_and_again_loses_nothing(page: Page, stack: Stack) -> None:
    await page.goto("/")
    job_id = await page.evaluate(FOLLOW, unique_prompt(faults="render=15"))
    gateway = connection_manager(stack)
    cut: set[str] = set()
    for _ in range(3):
        connection = await eventually("a new connection that watches", lambda: watching(stack, job_id, cut), PATIENT)
        cut.add(connection)
        gateway.delete_connection(ConnectionId=connection)
    await completed_once(page)
    assert "reconnecting" in await page.evaluate("connections")


async def test_who_is_offline_for_a_while_is_told_the_end_when_he_is_back(
    page: Page, context: BrowserContext, api: Api, complaints
) -> None:
    complaints.expect("ERR_INTERNET_DISCONNECTED")
    await page.goto("/")
    job_id = await page.evaluate(FOLLOW, unique_prompt(faults="render=3"))
    await eventually("that it is live", lambda: page.evaluate("connections.at(-1) === 'live'"))
    await context.set_offline(True)

    async def has_ended() -> bool:
        return (await api.status(job_id)).body["status"] == "completed"

    await eventually("that it has ended", has_ended, PATIENT)
    await context.set_offline(False)
    await completed_once(page)


async def test_a_job_is_taken_up_again_after_a_reload(page: Page, simulator: Simulator) -> None:
    prompt = unique_prompt(faults="render=3")
    await page.goto("/")
    job_id = await page.evaluate(FOLLOW, prompt)
    await page.reload()
    script = """async (id) => {
      const { createClient } = await import("/clipbell.js");
      const job = createClient().job(id);
      const seen = [];
      for await (const { status } of job) seen.push(status);
      return [seen.at(-1), job.current.progress, await job.download({ as: "url" })];
    }"""
    status, progress, url = await page.evaluate(script, job_id)
    assert (status, progress) == ("completed", 100)
    assert "X-Amz-Signature=" in url
    assert len(await simulator.creates(prompt)) == 1


async def test_who_leaves_while_the_socket_still_opens_hears_no_complaint(page: Page, api: Api) -> None:
    await page.goto("/")
    script = """async (id) => {
      const { createClient } = await import("/clipbell.js");
      const clips = createClient();
      const updates = clips.job(id).updates();
      updates.next();
      await updates.return();
      const left = clips.connection;
      const { value } = await clips.job(id).updates().next();
      return [left, value.jobId];
    }"""
    job_id = await api.create(unique_prompt())
    assert await page.evaluate(script, job_id) == ["idle", job_id]


async def test_where_no_websocket_can_be_had_polling_brings_the_job_home(page: Page) -> None:
    await page.add_init_script("delete window.WebSocket")
    await page.goto("/")
    await page.evaluate(FOLLOW, unique_prompt(faults="render=3"))
    await completed_once(page)
    assert await page.evaluate("connections") == ["connecting", "polling", "idle"]


async def test_a_canceled_job_and_one_that_is_not_there_end_with_their_codes(page: Page, complaints) -> None:
    complaints.expect("404")
    await page.goto("/")
    script = """async (prompt) => {
      const { createClient } = await import("/clipbell.js");
      const clips = createClient();
      const job = await clips.generate({ scriptOrQuestion: prompt });
      const code = (error) => error.code;
      const end = job.done.catch(code);
      const { message } = await job.cancel();
      const missing = clips.job("job_0123456789abcdef0123456789abcdef");
      return [message, await end, await missing.done.catch(code), await missing.download().catch(code)];
    }"""
    seen = await page.evaluate(script, unique_prompt(faults="render=30"))
    assert seen == ["Canceling", "job_canceled", "job_not_found", "job_not_found"]


async def completed_once(page: Page) -> None:
    """The followed job ends well, and each of its versions is told once."""
    async with asyncio.timeout(PATIENT):
        end = await page.evaluate("end")
    versions = await page.evaluate("versions")
    assert end["status"] == "completed" and end["progress"] == 100
    assert versions == sorted(set(versions)) and versions[-1] == end["version"]


async def watching(stack: Stack, job_id: str, but: set[str]) -> str | None:
    """A connection that is noted as watching the job."""
    rows = stack.client("dynamodb").query(
        TableName=stack.outputs["ConnectionsTable"],
        KeyConditionExpression="jobId = :job",
        ExpressionAttributeValues={":job": {"S": job_id}},
        ConsistentRead=True,
    )
    return next((row["connectionId"]["S"] for row in rows["Items"] if row["connectionId"]["S"] not in but), None)
