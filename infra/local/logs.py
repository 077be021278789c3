"""What the functions of a running stack have logged, as a person reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

# Lambda's own lines around each call.
LAMBDA_S_OWN = ("START RequestId", "END RequestId", "REPORT RequestId", "INIT_START")


def events(logs: Any, group: str, since: int = 0) -> list[dict[str, Any]]:
    """A log group's events from `since` on (milliseconds), in order."""
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
    return sorted((event for page in pages for event in page["events"]), key=lambda event: event["timestamp"])


def lines(logs: Any, stack: str, only: str | None = None, since: int = 0) -> list[str]:
    """What all functions said, or one of them, as readable lines in order."""
    return [line for _, line in _lines(logs, stack, only, since)]


def follow(logs: Any, stack: str, only: str | None = None) -> Iterator[str]:
    """The same, and then whatever comes; it does not end."""
    told: set[str] = set()
    since = 0
    while True:
        for timestamp, line in _lines(logs, stack, only, since):
            key = f"{timestamp} {line}"
            if key not in told:
                told.add(key)
                # A call's lines come when it ends: one that began earlier may still have lines to come.
                since = max(since, timestamp - 15 * 60 * 1000)
                yield line
        time.sleep(0.5)


def _lines(logs: Any, stack: str, only: str | None, since: int) -> list[tuple[int, str]]:
    prefix = f"/aws/lambda/{stack}-"
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    functions = [group["logGroupName"].removeprefix(prefix) for page in pages for group in page["logGroups"]]
    found = [
        (event["timestamp"], readable(function, event))
        for function in functions
        if only in (None, function)
        for event in events(logs, prefix + function, since)
        if not event["message"].startswith(LAMBDA_S_OWN)
    ]
    return sorted(found, key=lambda line: line[0])


def readable(function: str, event: dict[str, Any]) -> str:
    """One line: time, function, level, message, and the fields that go with it."""
    message, level, details = event["message"].rstrip(), "", ""
    try:
        record = json.loads(message)
        fields = dict(record["fields"])
        level, message = record["level"], fields.pop("message", "")
        details = "".join(f"  {name}={value}" for name, value in fields.items())
    except (ValueError, KeyError, TypeError):
        pass  # A line that is none of ours: a panic, say.
    at = datetime.fromtimestamp(event["timestamp"] / 1000)
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03}  {function:<14} {level:<5} {message}{details}"
