"""A running simulator, a real HTTP receiver of its webhooks, and a client: what the tests act in."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from simulator import server
from simulator.provider import Provider

INFRA = Path(__file__).parents[2] / "infra"
SECRET = "whsec_RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c="
API_KEY = "key-of-the-tests"
DEADLINE_SECONDS = 20


@dataclass
class Delivery:
    """A webhook as it came in."""

    headers: dict[str, str]
    raw: bytes
    event: dict


@dataclass
class Receiver:
    """Takes webhooks and answers 200, but for the next ones as `answers` says: a status each, or None for never."""

    answers: list[int | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    _arrived: asyncio.Queue[Delivery] = field(default_factory=asyncio.Queue)

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        self.paths.append(request.path)
        if request.path == "/elsewhere":
            return web.Response()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._arrived.put_nowait(Delivery(headers, raw, await request.json()))
        answer = self.answers.pop(0) if self.answers else 200
        if answer is None:
            await asyncio.get_running_loop().create_future()
        return web.Response(status=answer, text="heard", headers={"Location": "/elsewhere"})

    async def next(self) -> Delivery:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._arrived.get()

    def waiting(self) -> int:
        return self._arrived.qsize()


@dataclass
class World:
    provider: Provider
    receiver: Receiver
    client: aiohttp.ClientSession

    async def create(self, prompt: str, expect: int = 200, **fields: str) -> dict:
        async with self.client.post("/v1/videos", json={"prompt": prompt, **fields}) as response:
            assert response.status == expect, await response.text()
            return await response.json()

    async def finished(self, prompt: str) -> str:
        """The id of a video that is rendered and announced."""
        video = await self.create(f"{prompt} [sim render=0]")
        delivery = await self.receiver.next()
        assert delivery.event["data"]["id"] == video["id"]
        return video["id"]

    async def get(self, path: str, expect: int = 200) -> dict:
        async with self.client.get(path) as response:
            assert response.status == expect, await response.text()
            return await response.json()

    async def content(self, video_id: str) -> bytes:
        async with self.client.get(f"/v1/videos/{video_id}/content") as response:
            assert response.status == 200
            return await response.read()

    async def true_content(self, video_id: str) -> bytes:
        async with self.client.get(f"/simulator/videos/{video_id}/content") as response:
            assert response.status == 200
            return await response.read()

    async def ledger(self) -> dict:
        return await self.get("/simulator/ledger")

    async def deliveries(self, count: int) -> list[dict]:
        """The ledger's deliveries, once there are so many: each is entered with its answer, so not at once."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(entries := (await self.ledger())["deliveries"]) < count:
                pass
        return entries


@asynccontextmanager
async def running_world(
    clock: Callable[[], float] = time.time, webhook_timeout: float = 5, api_key: str = API_KEY
) -> AsyncIterator[World]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.handle)
    app.router.add_get("/{path:.*}", receiver.handle)
    receiving = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await receiving.setup()
    await web.TCPSite(receiving, "127.0.0.1", 0).start()
    provider = Provider(
        webhook_url=f"http://127.0.0.1:{receiving.addresses[0][1]}/hook",
        webhook_secret=SECRET,
        render_seconds=0.2,
        default_faults={},
        webhook_timeout=webhook_timeout,
        clock=clock,
    )
    simulating = await server.start(provider, API_KEY, 0)
    client = aiohttp.ClientSession(
        f"http://127.0.0.1:{simulating.addresses[0][1]}",
        headers={"Authorization": f"Bearer {api_key}"},
        timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS),
    )
    try:
        yield World(provider, receiver, client)
    finally:
        await client.close()
        await simulating.cleanup()
        await receiving.cleanup()
