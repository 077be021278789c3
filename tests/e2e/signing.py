"""Signs webhooks by the letter of Standard Webhooks, with nothing but Python's own hmac."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

# Every signature made here: none of them may be found in a log.
MADE: list[str] = []


def signature(secret: str, webhook_id: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, under the key that is base64 after `whsec_`."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = webhook_id.encode() + b"." + timestamp.encode() + b"." + body
    text = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    MADE.append(text)
    return f"v1,{text}"


def headers(
    secret: str, body: bytes, *, webhook_id: str | None = None, age: int = 0, timestamp: str | None = None
) -> dict[str, str]:
    """The three headers, rightly signed; `age` in seconds, negative for the future."""
    webhook_id = webhook_id if webhook_id is not None else f"wh_{secrets.token_hex(16)}"
    timestamp = timestamp if timestamp is not None else str(int(time.time()) - age)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, webhook_id, timestamp, body),
    }


def event(type: str, data: Any = None, **more: Any) -> bytes:
    """An event's body as OpenAI writes it."""
    event_id = f"evt_{secrets.token_hex(16)}"
    fields = {"id": event_id, "object": "event", "created_at": int(time.time()), "type": type, "data": data, **more}
    return json.dumps(fields).encode()
