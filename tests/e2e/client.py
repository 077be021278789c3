"""What a test drives the deployed stack with: an HTTP and WebSocket client of its own, and the simulator's controls.

Nothing here waits for a fixed time: it waits for the thing, with a deadline, and says what it saw when the thing did not come.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import aiohttp
import boto3
from local.stack import Stack
from multidict import CIMultiDictProxy
from yarl import URL

# Seconds. Generous: the whole stack may share one slow processor with a compiler.
SOON = 20
PATIENT = 60
ENDS = frozenset({"completed", "failed", "canceled"})

Message = dict[str, Any]


class Answer(NamedTuple):
    """An HTTP answer. `body` is parsed when it is JSON, and the raw bytes otherwise."""

    status: int
    body: Any
    headers: CIMultiDictProxy[str]


class Download(NamedTuple):
    """A download as a browser makes it: the API's answer, and the file's when the first was a redirect."""

    redirect: Answer
    file: Answer | None

    @property
    def content(self) -> bytes:
        assert self.file is not None and self.file.status in (200, 206), self
        return self.file.body


def unique_prompt(what: str = "A bell", faults: str = "") -> str:
    """A prompt that no other job has: the simulator counts its faults by prompt."""
    directive = f" [sim {faults}]" if faults else ""
    return f"{what}, {secrets.token_hex(8)}{directive}"


async def eventually(what: str, look: Callable[[], Awaitable[Any]], deadline: float = SOON, every: float = 0.1) -> Any:
    """Looks until what it sees is truthy, and gives it."""
    seen = None
    ends = time.monotonic() + deadline
    while time.monotonic() < ends:
        if seen := await look():
            return seen
        await asyncio.sleep(every)
    raise AssertionError(f"After {deadline} s still not: {what}. Last seen: {seen!r}")


class Api:
    """The HTTP API, at the stack's one address."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession):
        self._stack = stack
        self._http = http

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        """Any request at all; `options` are aiohttp's. Redirects are not followed."""
        url = URL(self._stack.base_url + path, encoded=True)
        async with self._http.request(method, url, allow_redirects=False, **options) as answer:
            return await _read(answer)

    async def generate(self, prompt: str, *, key: str | None = None, **fields: Any) -> Answer:
        """Asks for a video; `fields` go into the body, `key` is the Idempotency-Key."""
        headers = {"Idempotency-Key": key} if key is not None else {}
        body = {"scriptOrQuestion": prompt, **fields}
        return await self.request("POST", "/api/generate?renderVersion=v3", json=body, headers=headers)

    async def create(self, prompt: str, **fields: Any) -> str:
        """Asks for a video that is sure to be accepted; gives the job's id."""
        status, body, _ = await self.generate(prompt, **fields)
        assert status == 202, (status, body)
        return body["jobId"]

    async def status(self, job_id: str, etag: str | None = None) -> Answer:
        headers = {"If-None-Match": etag} if etag is not None else {}
        return await self.request("GET", f"/api/status?jobId={job_id}&renderVersion=v3", headers=headers)

    async def cancel(self, job_id: str) -> Answer:
        """Asks for a job's end."""
        return await self.request("POST", f"/api/cancel?jobId={job_id}&renderVersion=v3")

    async def download(
        self, job_id: str, *, variant: str | None = None, headers: dict[str, str] | None = None
    ) -> Download:
        """Downloads as a browser does. `headers` go with both requests, as a browser's `Range` would."""
        redirect = await self.request("GET", download_path(job_id, variant), headers=headers)
        if redirect.status != 302:
            return Download(redirect, None)
        async with self._http.get(URL(redirect.headers["Location"], encoded=True), headers=headers) as answer:
            return Download(redirect, await _read(answer))

    async def download_link(self, job_id: str, *, variant: str | None = None) -> Answer:
        """Where the file is, for a program that asks for JSON."""
        return await self.request("GET", download_path(job_id, variant), headers={"Accept": "application/json"})

    async def download_digest(self, job_id: str) -> tuple[int, str]:
        """The length and the SHA-256 of a file that may be too large to be held."""
        link = await self.download_link(job_id)
        assert link.status == 200, link
        digest, length = hashlib.sha256(), 0
        async with self._http.get(URL(link.body["url"], encoded=True)) as answer:
            assert answer.status == 200, await answer.text()
            async for piece in answer.content.iter_chunked(1 << 20):
                digest.update(piece)
                length += len(piece)
        return length, digest.hexdigest()

    async def events(self, limit: int = 100, token: str | None = None) -> Answer:
        """The operators' list of webhook deliveries."""
        headers = {"Authorization": f"Bearer {token or self._stack.operator_token}"}
        return await self.request("GET", f"/api/webhook/events?limit={limit}", headers=headers)

    async def events_of(self, video_id: str) -> list[dict[str, Any]]:
        """The listed webhooks about one video, newest first."""
        answer = await self.events()
        assert answer.status == 200, answer
        return [event for event in answer.body["events"] if event.get("videoId") == video_id]


def download_path(job_id: str, variant: str | None = None) -> str:
    return f"/api/download?jobId={job_id}&renderVersion=v3" + (f"&variant={variant}" if variant else "")


async def _read(answer: aiohttp.ClientResponse) -> Answer:
    body: Any = await answer.read()
    if answer.content_type == "application/json" and body:
        body = json.loads(body)
    return Answer(answer.status, body, answer.headers)


@dataclass
class Watcher:
    """A browser's WebSocket: it keeps every message. Made by `Watcher.open`, an asynchronous context manager."""

    _http: aiohttp.ClientSession
    _socket: aiohttp.ClientWebSocketResponse
    received: list[Message] = field(default_factory=list)
    close_code: int | None = None
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @classmethod
    @asynccontextmanager
    async def open(cls, stack: Stack) -> AsyncIterator[Self]:
        # A session of its own, so that it can vanish alone.
        async with aiohttp.ClientSession() as http:
            watcher = cls(http, await http.ws_connect(stack.ws_url))
            reading = asyncio.create_task(watcher._listen())
            try:
                yield watcher
            finally:
                await watcher._socket.close()
                await reading

    async def _listen(self) -> None:
        async for message in self._socket:
            async with self._news:
                self.received.append(json.loads(message.data) | {"receivedAt": time.monotonic()})
                self._news.notify_all()
        async with self._news:
            self.close_code = self._socket.close_code
            self._news.notify_all()

    async def send(self, message: str | bytes | dict[str, Any]) -> None:
        match message:
            case str():
                await self._socket.send_str(message)
            case bytes():
                await self._socket.send_bytes(message)
            case _:
                await self._socket.send_json(message)

    async def ask(self, message: str | bytes | dict[str, Any], deadline: float = SOON) -> Message:
        """Says something, and gives the first message that comes after it."""
        before = len(self.received)
        await self.send(message)
        await self._wait_for("an answer", lambda: len(self.received) > before, deadline)
        return self.received[before]

    async def subscribe(self, job_id: str) -> Message:
        """Watches a job from now on; gives the answer, with the job's present state."""
        before = len(self.messages(job_id))
        await self.send({"action": "subscribe", "jobId": job_id})
        return await self.until(job_id, lambda message: message["type"] in ("subscribed", "error"), after=before)

    async def until(
        self, job_id: str, predicate: Callable[[Message], bool], deadline: float = SOON, *, after: int = 0
    ) -> Message:
        """The first message about the job for which the predicate holds, not counting the first `after` ones."""

        def found() -> list[Message]:
            return [message for message in self.messages(job_id)[after:] if predicate(message)]

        await self._wait_for(f"the awaited message about {job_id}", found, deadline)
        return found()[0]

    async def end_of(self, job_id: str, deadline: float = PATIENT) -> Message:
        """The first message that says that the job has ended, however."""
        return await self.until(job_id, lambda message: message.get("status") in ENDS, deadline)

    async def completed(self, job_id: str, deadline: float = PATIENT) -> Message:
        """The first message that says that the job has ended; it has to be well."""
        end = await self.end_of(job_id, deadline)
        assert end["status"] == "completed", end
        return end

    def messages(self, job_id: str) -> list[Message]:
        return [message for message in self.received if message.get("jobId") == job_id]

    def vanish(self) -> Awaitable[None]:
        """Breaks the connection off with a TCP reset, without a closing handshake: a laptop that lost its network."""
        raw = self._socket.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return self._http.connector.close()

    async def _wait_for(self, what: str, is_there: Callable[[], Any], deadline: float) -> None:
        def is_over() -> bool:
            return bool(is_there()) or self.close_code is not None

        try:
            async with asyncio.timeout(deadline), self._news:
                await self._news.wait_for(is_over)
        except TimeoutError:
            raise AssertionError(f"After {deadline} s still not: {what}. {self._account()}") from None
        assert is_there(), f"The WebSocket was closed with {self.close_code} before {what}. {self._account()}"

    def _account(self) -> str:
        return "Received: " + "".join(f"\n  {message}" for message in self.received[-50:])


class Simulator:
    """The simulated provider's own account, and its controls."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession):
        self._url = stack.simulator_url
        self._key = stack.provider.api_key
        self._http = http

    async def ledger(self) -> dict[str, list[dict[str, Any]]]:
        return await self._json("GET", "/simulator/ledger")

    async def creates(self, prompt: str) -> list[dict[str, Any]]:
        """The create calls with exactly this prompt."""
        return [create for create in (await self.ledger())["creates"] if create["prompt"] == prompt]

    async def videos(self, prompt: str) -> list[dict[str, Any]]:
        """The videos that were taken with exactly this prompt."""
        return [video for video in (await self.ledger())["videos"] if video["prompt"] == prompt]

    async def video(self, prompt: str) -> dict[str, Any]:
        """The one video with this prompt."""
        [video] = await self.videos(prompt)
        return video

    async def deliveries(self, video_id: str) -> list[dict[str, Any]]:
        """The webhooks that were sent about a video, with what was answered."""
        return [delivery for delivery in (await self.ledger())["deliveries"] if delivery["videoId"] == video_id]

    async def content(self, video_id: str) -> bytes:
        """The bytes of a video as a faultless fetch gets them."""
        async with self._http.get(f"{self._url}/simulator/videos/{video_id}/content") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def progress(self, video_id: str) -> int:
        """What the provider says to whoever asks with the key. It counts as a read."""
        headers = {"Authorization": f"Bearer {self._key}"}
        return (await self._json("GET", f"/v1/videos/{video_id}", headers=headers))["progress"]

    async def set_faults(self, faults: dict[str, Any]) -> None:
        """Replaces the defaults of all jobs to come; `{}` clears them."""
        await self._json("PUT", "/simulator/faults", json=faults)

    async def send(self, video_id: str, type: str, webhook_id: str | None = None) -> dict[str, Any]:
        """Sends one signed webhook now; gives `{webhookId, status, body}` of the receiver."""
        body = {"videoId": video_id, "type": type} | ({"webhookId": webhook_id} if webhook_id else {})
        return await self._json("POST", "/simulator/send", json=body)

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        async with self._http.request(method, self._url + path, **options) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


class WorkQueue:
    """The work queue, its worker switched off."""

    def __init__(self, stack: Stack):
        self._sqs, self._url = stack.client("sqs"), stack.outputs["WorkQueueUrl"]

    def count(self, *kinds: str) -> int:
        """How many messages are at hand, `Delayed`, or `NotVisible`: in the hands of a worker that is still at it."""
        names = [f"ApproximateNumberOfMessages{kind}" for kind in kinds]
        counts = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        return sum(int(counts[name]) for name in names)

    async def lose(self) -> None:
        """Loses what is in it, once there is something to be lost and no worker that could still add to it."""

        async def is_settled() -> bool:
            return self.count("NotVisible") == 0 and self.count("", "Delayed") > 0

        await eventually("a message on the work queue, and no worker at work", is_settled)
        self._sqs.purge_queue(QueueUrl=self._url)


@asynccontextmanager
async def without_worker(stack: Stack) -> AsyncIterator[WorkQueue]:
    """Nobody takes messages from the work queue."""
    client, queue = stack.client("lambda"), WorkQueue(stack)
    [source] = client.list_event_source_mappings(FunctionName=f"{stack.name}-advance")["EventSourceMappings"]

    async def switch(on: bool) -> None:
        client.update_event_source_mapping(UUID=source["UUID"], Enabled=on)

        async def switched() -> bool:
            return client.get_event_source_mapping(UUID=source["UUID"])["State"] == ("Enabled" if on else "Disabled")

        await eventually("that the worker is switched", switched)

    await switch(False)
    try:
        yield queue
    finally:
        await switch(True)


@dataclass(frozen=True)
class Job:
    """A job that was begun together with those of the module's other tests."""

    id: str
    prompt: str
    watcher: Watcher
    """Subscribed to it since its 202."""
    begun: float
    """In Unix seconds."""

    @property
    def messages(self) -> list[Message]:
        return self.watcher.messages(self.id)

    async def end(self, deadline: float = PATIENT) -> Message:
        """The first message that says that it has ended, however."""
        return await self.watcher.end_of(self.id, deadline)

    async def completed(self, deadline: float = PATIENT) -> Message:
        """The same; it has to have ended well."""
        return await self.watcher.completed(self.id, deadline)


def connection_manager(stack: Stack) -> Any:
    """`@connections` of the WebSocket API, to close connections from the server's side."""
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"{stack.aws.endpoint}/_aws/execute-api/{stack.outputs['WebSocketApiId']}/ws",
        region_name=stack.aws.region,
        aws_access_key_id=stack.aws.access_key,
        aws_secret_access_key=stack.aws.secret_key,
    )
