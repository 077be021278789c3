"""What must not be found in any log: what callers send, and what the stack is trusted with."""

from __future__ import annotations

import base64
import io
import math
import wave
from collections.abc import Iterable
from functools import cache

import signing
from local import logs
from local.stack import Stack

# In every prompt and webhook body of the tests of bad input, so that one search finds them all.
HUSH = "hush7c1f4e0a9b"


@cache
def small_audio() -> bytes:
    """A real WAV file: a bell's tone of 50 ms. Its length makes base64 pad it, and its bytes need all of base64."""
    samples = bytes(round(128 + 127 * math.exp(-n / 200) * math.sin(n * 0.69)) for n in range(401))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(samples)
    audio = file.getvalue()
    text = base64.b64encode(audio).decode()
    assert text.endswith("=") and "+" in text and "/" in text
    return audio


def written_forms(audio: bytes) -> list[str]:
    """A piece from the middle of some audio, as a careless log would show it."""
    encoded = base64.b64encode(audio).decode()[80:120]
    urlsafe = base64.urlsafe_b64encode(audio).decode()[80:120]
    numbers = audio[100:116]
    return [encoded, urlsafe, ", ".join(map(str, numbers)), ",".join(map(str, numbers)), numbers.hex()]


def guarded(stack: Stack) -> list[str]:
    """What this stack is trusted with."""
    key = stack.webhook_secret.removeprefix("whsec_")
    raw = base64.b64decode(key)
    return [
        *(stack.operator_token, stack.provider.api_key),
        *(stack.webhook_secret, key, raw.hex(), ", ".join(map(str, raw))),
    ]


def leaks(stack: Stack, extra: Iterable[str] = ()) -> list[str]:
    """Every line of any function's log that holds what it must not."""
    forbidden = [HUSH, *guarded(stack), *signing.MADE, *written_forms(small_audio()), *extra]
    client = stack.client("logs")
    groups = [
        group["logGroupName"]
        for page in client.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]
    lines = [(group, event["message"]) for group in groups for event in logs.events(client, group)]
    assert len(groups) >= 11 and len(lines) > 0, "There is nothing to search."
    return [f"{group}: {line}" for group, line in lines if any(secret in line for secret in forbidden)]
