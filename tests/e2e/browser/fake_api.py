"""An API at `http://clips.test`, in the browser's own network layer: it answers as a test wishes, and keeps what it was asked.

The page in front of it has the client, and a clock that stands still: only `advance` moves it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from client import SOON, eventually
from playwright.async_api import Page, Request, Route, WebSocketRoute

WEB = Path(__file__).parents[3] / "web"
ORIGIN = "http://clips.test"
BUCKET = "http://bucket.test"
VIDEO = b"the video itself"
ENDS = {"completed", "failed", "canceled"}

# What a test says in the page. `follow` notes all that a caller can see of a job.
PAGE = """<!doctype html><title>Clips</title><link rel="icon" href="data:,">
<script type="module">
  import * as clipbell from "/clipbell.js";
  Object.assign(window, clipbell);
  const [set, clear] = [window.setTimeout, window.clearTimeout];
  window.timers = new Set();
  window.setTimeout = (what, after) => {
    const id = set(() => { timers.delete(id); what(); }, after);
    timers.add(id);
    return id;
  };
  window.clearTimeout = (id) => { timers.delete(id); clear(id); };
  // Playwright listens too, to other things.
  const [add, remove] = [window.addEventListener, window.removeEventListener];
  const ours = ["online", "pageshow", "visibilitychange"];
  window.listening = new Set();
  window.addEventListener = (type, ...what) => {
    if (ours.includes(type)) listening.add(type);
    add(type, ...what);
  };
  window.removeEventListener = (type, ...what) => {
    listening.delete(type);
    remove(type, ...what);
  };
  // What the network still owes the page.
  const [ask, Socket] = [window.fetch, window.WebSocket];
  const opening = new Set();
  let asking = 0;
  window.fetch = async (...request) => {
    asking++;
    try {
      const answer = await ask(...request);
      const body = await answer.arrayBuffer();
      return new Response(answer.status === 304 ? null : body, answer);
    } finally { asking--; }
  };
  window.WebSocket = class extends Socket {
    constructor(url) { super(url); opening.add(this); }
  };
  window.owed = () => {
    for (const socket of opening) if (socket.readyState > 0) opening.delete(socket);
    return asking + opening.size;
  };
  window.connect = (options) => {
    window.clips = createClient(options);
    window.connections = [];
    clips.addEventListener("connection", ({ detail }) => connections.push(detail));
  };
  window.said = (error) => {
    if (!(error instanceof ClipbellError)) return { name: error?.name ?? String(error) };
    const { code, message, status, requestId, retryable, retryAfter, update } = error;
    return JSON.parse(JSON.stringify({ code, message, status, requestId, retryable, retryAfter, update }));
  };
  window.failure = async (what) => {
    try { await what(); } catch (error) { return said(error); }
    return "it did not fail";
  };
  window.follow = (job) => {
    const seen = { iterated: [], events: [], errors: [] };
    for (const type of ["update", "progress", "completed", "failed", "canceled"]) {
      job.addEventListener(type, ({ detail }) => seen.events.push([type, detail.version]));
    }
    job.addEventListener("error", ({ detail }) => seen.errors.push(said(detail)));
    (async () => {
      try {
        for await (const update of job) seen.iterated.push(update);
        seen.iterationEnded = true;
      } catch (error) { seen.iterationFailed = said(error); }
    })();
    job.done.then((update) => { seen.done = update; }, (error) => { seen.failed = said(error); });
    return seen;
  };
  connect();
  window.isReady = true;
</script>"""

CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag, Retry-After"}


def new_id() -> str:
    return f"job_{secrets.token_hex(16)}"


@dataclass
class Asked:
    """One HTTP request as it came."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def query(self, name: str) -> str | None:
        return parse_qs(urlsplit(self.url).query).get(name, [None])[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body or "null")


@dataclass
class Answer:
    """What is answered in place of the usual."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


UNREACHABLE = Answer(0)
NEVER = Answer(-1)


def refusal(status: int, code: str, **headers: str) -> Answer:
    return Answer(status, {"error": f"A sentence about {code}.", "code": code}, headers)


@dataclass
class Socket:
    """The server's end of one WebSocket."""

    route: WebSocketRoute
    api: FakeApi
    heard: list[dict[str, Any]] = field(default_factory=list)
    subscribed: list[str] = field(default_factory=list)
    closed: tuple[int | None, str | None] | None = None
    deaf: bool = False
    """It answers nothing more: the network is gone, and nobody has said so."""

    def count(self, action: str, job_id: str | None = None) -> int:
        return sum(message["action"] == action and job_id in (None, message.get("jobId")) for message in self.heard)

    def send(self, message: Any) -> None:
        if not self.deaf and self.closed is None:
            self.route.send(message if isinstance(message, str) else json.dumps(message))

    async def cut(self, code: int = 1001) -> None:
        self.subscribed.clear()
        self.closed = (code, "by the server")
        await self.route.close(code=code, reason="Going away")

    def hears(self, text: str) -> None:
        message = json.loads(text)
        self.api.events += 1
        self.heard.append(message)
        if self.api.on_message is not None and self.api.on_message(self, message):
            return
        self.answer(message)

    def answer(self, message: dict[str, Any]) -> None:
        job_id = message.get("jobId")
        match message["action"]:
            case "ping":
                self.send({"type": "pong", "timestamp": "now"})
            case "subscribe" if job_id not in self.api.jobs:
                self.send({"type": "error", "jobId": job_id, "code": "job_not_found", "error": "There is no such job."})
            case "subscribe":
                self.subscribed.append(job_id)
                self.send({"type": "subscribed", **self.api.jobs[job_id], "timestamp": "now"})
            case "unsubscribe":
                if job_id in self.subscribed:
                    self.subscribed.remove(job_id)
                self.send({"type": "unsubscribed", "jobId": job_id, "timestamp": "now"})


class FakeApi:
    """The server's side, and the page's clock. Made by `FakeApi.open`."""

    def __init__(self, page: Page):
        self.page = page
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[Asked] = []
        self.sockets: list[Socket] = []
        self.answers: dict[str, list[Answer]] = {}
        """For a path: what is answered next, in place of the usual; and after these what is in `always`."""
        self.always: dict[str, Answer] = {}
        self.on_message: Callable[[Socket, dict[str, Any]], bool] | None = None
        """Sees each message first; true when it has seen to it."""
        self.refuses_sockets = False
        self._keys: dict[str, str] = {}
        self.events = 0
        self._never = 0

    @classmethod
    async def open(cls, page: Page) -> FakeApi:
        api = cls(page)
        await page.clock.install(time=0)
        await page.route("**/*", api._serve)
        await page.route_web_socket(lambda url: True, api._connect)
        await page.goto(ORIGIN)
        await page.wait_for_function("window.isReady")
        await page.clock.pause_at(3600)
        return api

    # What the server does.

    def job(self, **fields: Any) -> str:
        """A job that is there."""
        job_id = new_id()
        self.jobs[job_id] = {
            "jobId": job_id,
            "status": "queued",
            "progress": 0,
            "message": "Waiting",
            "version": 1000,
            "createdAt": "2026-11-24T12:00:00.000Z",
            "updatedAt": "2026-11-24T12:00:00.000Z",
        } | fields
        return job_id

    def change(self, job_id: str, **fields: Any) -> dict[str, Any]:
        """The job's next version, of which nobody is told."""
        job = {**self.jobs[job_id], "version": self.jobs[job_id]["version"] + 1, **fields}
        if job["status"] == "completed":
            job |= {"progress": 100, "downloadUrl": f"/api/download?jobId={job_id}&renderVersion=v3"}
        self.jobs[job_id] = job
        return job

    def news(self, job_id: str, **fields: Any) -> dict[str, Any]:
        """The job's next version, told to whoever is subscribed."""
        job = self.change(job_id, **({"status": "in_progress"} | fields))
        self.tell(job)
        return job

    def tell(self, job: dict[str, Any]) -> None:
        for socket in self.sockets:
            if job["jobId"] in socket.subscribed:
                socket.send({"type": "progress", **job, "timestamp": "now"})

    # What a test looks at.

    def calls(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    @property
    def open_sockets(self) -> list[Socket]:
        return [socket for socket in self.sockets if socket.closed is None]

    async def until(self, what: str, predicate: Callable[[], Any]) -> Any:
        async def look() -> Any:
            return predicate()

        return await eventually(what, look, deadline=SOON, every=0.005)

    async def in_page(self, script: str, argument: Any = None) -> Any:
        async with asyncio.timeout(SOON):
            return await self.page.evaluate(script, argument)

    async def until_page(self, expression: str) -> Any:
        """Waits until it is so in the page, whose clock stands still."""

        async def look() -> Any:
            return await self.page.evaluate(expression)

        return await eventually(expression, look, deadline=SOON, every=0.005)

    async def until_live(self) -> None:
        await self.until_page("clips.connection === 'live'")

    async def advance(self, seconds: float, step: float = 1) -> None:
        """Lets time go by in the page; what is asked meanwhile is answered in no time."""
        await self.settle()
        while seconds > 0:
            await self.page.clock.run_for(round(min(step, seconds) * 1000))
            seconds -= step
            await self.settle()

    async def settle(self) -> None:
        """Until all that is under way has arrived, either way."""
        quiet = 0
        while quiet < 2:
            before = self.events
            owed = await self.page.evaluate("owed()")
            quiet = quiet + 1 if owed <= self._never and self.events == before else 0

    # How it is done.

    async def _serve(self, route: Route, request: Request) -> None:
        self.events += 1
        answer = await self._answer(request)
        if answer is NEVER:
            self._never += 1
        elif answer is UNREACHABLE:
            await route.abort("connectionfailed")
        else:
            body = answer.body if isinstance(answer.body, bytes | str) else json.dumps(answer.body)
            await route.fulfill(status=answer.status, headers=CORS | answer.headers, body=body)

    async def _answer(self, request: Request) -> Answer:
        url = urlsplit(request.url)
        if request.url == f"{ORIGIN}/":
            return Answer(200, PAGE, {"Content-Type": "text/html"})
        if url.path == "/clipbell.js":
            return Answer(200, (WEB / "clipbell.js").read_text(), {"Content-Type": "text/javascript"})
        asked = Asked(request.method, request.url, await request.all_headers(), request.post_data)
        self.asked.append(asked)
        if self.answers.get(url.path):
            return self.answers[url.path].pop(0)
        if url.path in self.always:
            return self.always[url.path]
        return self._usual(asked)

    def _usual(self, asked: Asked) -> Answer:
        if asked.url.startswith(BUCKET):
            return Answer(200, VIDEO, {"Content-Type": "video/mp4"})
        if asked.path == "/api/generate":
            key = asked.headers["idempotency-key"]
            if key not in self._keys:
                self._keys[key] = self.job()
            return Answer(202, self.jobs[self._keys[key]])
        job = self.jobs.get(asked.query("jobId") or "")
        if job is None:
            return Answer(404, {"error": "There is no job with this jobId.", "code": "job_not_found"})
        match asked.path:
            case "/api/status":
                etag = f'"{job["version"]}"'
                if asked.headers.get("if-none-match") == etag:
                    return Answer(304, "", {"ETag": etag})
                return Answer(200, job, {"ETag": etag})
            case "/api/cancel":
                return Answer(202, self.change(job["jobId"], message="Canceling"))
            case "/api/download":
                return Answer(200, {"url": f"{BUCKET}/video?signature=x", "expiresAt": "2026-11-24T12:15:00.000Z"})
        raise AssertionError(asked)

    async def _connect(self, route: WebSocketRoute) -> None:
        self.events += 1
        socket = Socket(route, self)
        self.sockets.append(socket)

        def closed(code: int | None, reason: str | None) -> None:
            self.events += 1
            socket.subscribed.clear()
            socket.closed = socket.closed or (code, reason)

        route.on_message(socket.hears)
        route.on_close(closed)
        if self.refuses_sockets:
            socket.closed = (1006, "refused")
            await route.close(code=1006)
