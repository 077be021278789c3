"""Webhooks as OpenAI sends them: thin, signed after Standard Webhooks, tried again until a 2xx comes back.

The signing is the standard's own Python implementation, so that what the product verifies was not signed by itself.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
from standardwebhooks import Webhook

log = logging.getLogger("simulator.webhooks")

USER_AGENT = "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)"
FIRST_GAP_SECONDS = 0.5
LONGEST_GAP_SECONDS = 30
MAX_ATTEMPTS = 10
"""Some two minutes of retries, where OpenAI goes on for 72 hours: long enough for anything that a test waits for."""
TRICKLE_PIECES = 10


@dataclass(frozen=True)
class Event:
    """One webhook: what stays the same over all its deliveries."""

    video_id: str
    type: str
    created_at: int
    webhook_id: str = field(default_factory=lambda: f"wh_{secrets.token_hex(16)}")
    event_id: str = field(default_factory=lambda: f"evt_{secrets.token_hex(16)}")
    spoil_first_signature: bool = False
    trickle_seconds: float = 0
    """Over how long the body is spread."""

    @property
    def body(self) -> str:
        return json.dumps(
            {
                "id": self.event_id,
                "object": "event",
                "created_at": self.created_at,
                "type": self.type,
                "data": {"id": self.video_id},
            }
        )


@dataclass(frozen=True)
class Attempt:
    """One delivery and what became of it. No status means that no answer came."""

    event: Event
    number: int
    at: float
    status: int | None
    body: str

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def as_json(self) -> dict[str, object]:
        return {
            "webhookId": self.event.webhook_id,
            "videoId": self.event.video_id,
            "type": self.event.type,
            "attempt": self.number,
            "status": self.status,
            "at": self.at,
        }


class WebhookSender:
    def __init__(self, url: str, secret: str, timeout: float, record: Callable[[Attempt], None]) -> None:
        """`timeout` is how long an answer may take, in seconds; `record` is told of every attempt."""
        self._url = url
        self._signer = Webhook(secret)
        self._wrong_signer = Webhook(secrets.token_bytes(32))
        self._timeout = timeout
        self._record = record
        # A connection for each delivery: one that is kept open and found dead would cost an attempt.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))

    async def close(self) -> None:
        await self._session.close()

    async def deliver(self, event: Event, first_attempt: int = 1) -> None:
        """Send until it is delivered, with growing gaps, or give up after the last attempt."""
        for number in range(first_attempt, MAX_ATTEMPTS + 1):
            if number > 1:
                await asyncio.sleep(gap_before(number))
            if (await self.attempt(event, number)).delivered:
                return
        log.warning("webhook %s %s given up after %d attempts", event.type, event.webhook_id, MAX_ATTEMPTS)

    async def attempt(self, event: Event, number: int = 1) -> Attempt:
        """Send once. Each attempt has its own timestamp and signature, under the same id."""
        now = time.time()
        status, answer = await self._post(event, self._headers(event, number, int(now)))
        attempt = Attempt(event, number, now, status, answer)
        self._record(attempt)
        log.info(
            "webhook %s %s for %s, attempt %d -> %s",
            event.type,
            event.webhook_id,
            event.video_id,
            number,
            status or f"no answer ({answer})",
        )
        return attempt

    def _headers(self, event: Event, number: int, timestamp: int) -> dict[str, str]:
        signer = self._wrong_signer if event.spoil_first_signature and number == 1 else self._signer
        signature = signer.sign(event.webhook_id, datetime.fromtimestamp(timestamp, UTC), event.body)
        return {
            "content-type": "application/json",
            "content-length": str(len(event.body.encode())),
            "user-agent": USER_AGENT,
            "webhook-id": event.webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature,
        }

    async def _post(self, event: Event, headers: dict[str, str]) -> tuple[int | None, str]:
        body = trickle(event.body.encode(), event.trickle_seconds) if event.trickle_seconds else event.body.encode()
        timeout = aiohttp.ClientTimeout(total=event.trickle_seconds + self._timeout)
        try:
            # A redirect is an answer like any other that is not 2xx: not followed, and not a delivery.
            async with self._session.post(
                self._url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return response.status, await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            return None, type(error).__name__


def gap_before(attempt: int) -> float:
    """Seconds to wait before this attempt, the second or a later one."""
    return min(FIRST_GAP_SECONDS * 2 ** (attempt - 2), LONGEST_GAP_SECONDS)


async def trickle(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    """The body in pieces, spread over the time."""
    length = -(-len(body) // TRICKLE_PIECES)
    for start in range(0, len(body), length):
        await asyncio.sleep(seconds / TRICKLE_PIECES)
        yield body[start : start + length]
