"""Browsers that watch jobs: they come, go, vanish and come back, as a plan says.

They do what the README tells a client to: subscribe again after a lost connection, and keep what they hear by its
version. An answer that does not come is asked for again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time

import aiohttp

from .plan import Stay, Subscriber
from .record import Heard, Watch

ANSWER_WITHIN = 5.0
"""Seconds."""
BACK_AFTER = 0.3
"""Seconds from a connection's loss to the next."""


class Page:
    """One browser page: one WebSocket at a time, which watches one job or several."""

    def __init__(self, number: int, url: str, behaviour: Subscriber):
        self.number = number
        self.watches: dict[str, Watch] = {}
        self.connections = 0
        self._url = url
        self._behaviour = behaviour
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._asked: dict[str, float] = {}
        self._answered: set[str] = set()
        self._dead_lines: list[aiohttp.ClientSession] = []

    def watch(self, job_id: str) -> Watch:
        watch = Watch(self.number, job_id, self._behaviour.is_there_at_the_end)
        self.watches[job_id] = watch
        return watch

    async def live(self) -> None:
        try:
            for stay in self._behaviour.stays:
                await asyncio.sleep(stay.away_before)
                await self._be_there(stay)
        finally:
            for session in self._dead_lines:
                await session.close()

    async def _be_there(self, stay: Stay) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(stay.seconds):
                while True:
                    with contextlib.suppress(aiohttp.ClientError, OSError):
                        await self._connect(stay.leaves)
                    await asyncio.sleep(BACK_AFTER)

    async def _connect(self, leaves: str) -> None:
        """One connection, until it is lost, or until the time is up: then it ends as is said."""
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_connect=5))
        try:
            async with asyncio.timeout(15):
                self._socket = await session.ws_connect(self._url)
        except BaseException:
            await session.close()
            raise
        self.connections += 1
        self._asked.clear()
        self._answered.clear()
        reading = asyncio.create_task(self._read(self._socket, self.connections))
        try:
            while not reading.done():
                await self._subscribe(self._socket)
                await asyncio.wait([reading], timeout=0.2)
            await self._leave(session, self._socket, "close")
        except asyncio.CancelledError:
            if leaves == "freeze":
                # The line is dead: nothing is read, and nobody says so.
                reading.cancel()
            await self._leave(session, self._socket, leaves)
            raise
        except (aiohttp.ClientError, OSError):
            await self._leave(session, self._socket, "vanish")
        finally:
            self._socket = None
            if leaves != "freeze":
                with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError, OSError):
                    await asyncio.wait([reading], timeout=2)
            reading.cancel()

    async def _subscribe(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        now = time.monotonic()
        for job_id in self.watches:
            if job_id not in self._answered and now - self._asked.get(job_id, -ANSWER_WITHIN) >= ANSWER_WITHIN:
                self._asked[job_id] = now
                await connection.send_json({"action": "subscribe", "jobId": job_id})

    async def _read(self, connection: aiohttp.ClientWebSocketResponse, number: int) -> None:
        async for frame in connection:
            message = json.loads(frame.data)
            watch = self.watches.get(message.get("jobId"))
            if watch is None:
                # API Gateway's own "Internal server error": it does not say which subscription failed.
                soon = time.monotonic() - ANSWER_WITHIN + BACK_AFTER
                self._asked = {job_id: min(at, soon) for job_id, at in self._asked.items()}
                continue
            if message["type"] in ("subscribed", "progress", "error"):
                watch.heard.append(Heard(time.time(), number, message))
            if message["type"] == "subscribed":
                self._answered.add(message["jobId"])

    async def _leave(
        self, session: aiohttp.ClientSession, connection: aiohttp.ClientWebSocketResponse, how: str
    ) -> None:
        match how:
            case "freeze":
                self._dead_lines.append(session)
                return
            case "vanish":
                raw = connection.get_extra_info("socket")
                if raw is not None:
                    with contextlib.suppress(OSError):
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case _:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    if how == "unsubscribe":
                        for job_id in self.watches:
                            await connection.send_json({"action": "unsubscribe", "jobId": job_id})
                    await connection.close()
        await session.close()
