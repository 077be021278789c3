"""What the driver did and saw: all that the checker is given of it. Times are Unix seconds."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Order:
    """A video that was asked for, under one Idempotency-Key."""

    prompt: str
    at: float
    answers: list[str] = field(default_factory=list)
    """The job's id in each 202; asking twice is the same as once."""
    canceled: list[int] = field(default_factory=list)
    """What each wish to cancel it was answered with."""

    @property
    def job_id(self) -> str | None:
        return self.answers[0] if self.answers else None


@dataclass
class Heard:
    """A message about a job, as it came in."""

    at: float
    connection: int
    message: dict[str, Any]


@dataclass
class Watch:
    """What one subscriber heard about one job, over all its connections."""

    subscriber: int
    job_id: str
    stays: bool
    """Whether the subscriber meant to be there at the end: it stayed, or came back."""
    heard: list[Heard] = field(default_factory=list)


@dataclass
class Kill:
    """A function's process that was killed."""

    at: float
    pid: int
    function: str
    aim: str


@dataclass
class Meddled:
    """A message of the work queue that was taken away: for good (`lost`), or to come twice (`doubled`)."""

    at: float
    how: str
    body: str


@dataclass
class Record:
    seed: int
    jobs: int
    begun: float
    worker_timeout: float
    """Seconds after which a worker is ended."""
    orders: list[Order] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    meddled: list[Meddled] = field(default_factory=list)
    sent_again: int = 0
    """Webhooks that were sent beside the simulator's own."""
    refused: dict[str, int] = field(default_factory=dict)
    """Orders that were not answered with 202 at first, by what came instead."""
    given_up: str = ""
    """What was still missing when the time was up."""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1))
