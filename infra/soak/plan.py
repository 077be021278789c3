"""What a soak of this seed asks for: the faults of each job, and how each subscriber comes and goes.

The plan is the seed's alone. When a process is hit, and which message is caught, depends on the machine as well.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

ORDERS_A_SECOND = 2.5
CALM_BEFORE = 2.0
"""Seconds before the first kill."""
CHAOS_AFTER_ORDERS = 6.0
"""Seconds for which kills and meddling go on after the last order."""
KILLS_A_JOB = 0.4
TWINS = 0.15
"""The share of jobs without faults of their own that ask for the very words of the job before."""

# What each fault is asked with. Those that end a job without a video are rare enough for most jobs to be fine.
Detail = Callable[[random.Random], str]


def _plain(_: random.Random) -> str:
    return ""


def _times(rng: random.Random) -> str:
    return f"times={rng.randint(1, 2)} retry_after={rng.randint(1, 2)}"


def _passing(rng: random.Random) -> str:
    return f"content_times={rng.randint(1, 2)}"


def _passing_or_doom(rng: random.Random) -> str:
    return "content_times=0" if rng.random() < 0.25 else _passing(rng)


def _failing(rng: random.Random) -> str:
    return f"fail={rng.choice(['error', 'moderation'])}"


def _large(rng: random.Random) -> str:
    return f"content_mb={rng.randint(9, 24)}"


FAULTS: dict[str, Detail] = {
    "fail=moderation": _plain,
    "fail=error": _plain,
    "create=rate_limited": _times,
    "create=unavailable": _times,
    "create=error_500": _plain,
    "create=bad_gateway": _plain,
    "create=timeout_before": _plain,
    "create=timeout_after": _plain,
    "create=reset_after": _plain,
    "create=refused": _plain,
    "webhook=lost": _plain,
    "webhook=twice": _plain,
    "webhook=late": lambda rng: f"webhook_delay={rng.randint(3, 9)}",
    "webhook=early": _plain,
    "webhook=out_of_order": _plain,
    "webhook=bad_signature": _plain,
    "webhook=slow": _plain,
    "content=truncated": _passing,
    "content=truncated_chunked": _passing_or_doom,
    "content=not_video": _passing_or_doom,
    "content=empty": _passing_or_doom,
    "content=reset": _passing,
    "content=slow": lambda rng: f"content_seconds={rng.randint(2, 4)} {_large(rng)}",
    "content=error_500": _passing,
    "content=expired": _passing_or_doom,
    "thumbnail=missing": _plain,
    "status=flaky": _plain,
    "status=unknown": _plain,
    "status=backwards": _plain,
    "shape=numbers": _plain,
    "shape=error_string": _failing,
    "shape=error_number": _failing,
}
CANCELED = 0.06
"""The share of jobs that are canceled, at any moment of theirs."""
ENDS_WITHOUT_VIDEO = {
    *("fail=moderation", "fail=error", "shape=error_string", "shape=error_number"),
    *("create=error_500", "create=bad_gateway", "create=timeout_before", "create=refused"),
}


@dataclass
class Stay:
    """One time of a subscriber at its page."""

    away_before: float
    """Seconds."""
    seconds: float | None = None
    """None: to the end."""
    leaves: str = "close"
    """`close`, `vanish` (a reset), `freeze` (the line goes dead: nothing is read any more), `unsubscribe`."""


@dataclass
class Subscriber:
    stays: list[Stay]
    """In order."""

    @property
    def is_there_at_the_end(self) -> bool:
        return self.stays[-1].seconds is None


@dataclass
class PlannedJob:
    wait: float
    """Seconds since the last order."""
    prompt: str
    asked_again_after: float | None
    """Seconds after which the same order is sent again under the same key."""
    canceled_after: float | None
    """Seconds after which its end is asked for."""
    subscribers: list[Subscriber]
    also_watched_by_an_earlier: bool


@dataclass
class Plan:
    jobs: list[PlannedJob] = field(default_factory=list)
    kills: int = 0

    @property
    def orders_end(self) -> float:
        return sum(job.wait for job in self.jobs)

    @property
    def chaos_ends(self) -> float:
        return self.orders_end + CHAOS_AFTER_ORDERS


def plan(seed: int, count: int) -> Plan:
    rng = random.Random(seed)
    faults = _faults_of_jobs(rng, count)
    jobs: list[PlannedJob] = []
    for number in range(count):
        prompt = _prompt(rng, seed, number, faults[number])
        if jobs and not faults[number] and rng.random() < TWINS and _may_have_a_twin(jobs[-1].prompt):
            prompt = jobs[-1].prompt
        jobs.append(
            PlannedJob(
                wait=rng.expovariate(ORDERS_A_SECOND),
                prompt=prompt,
                asked_again_after=rng.uniform(0, 12) if rng.random() < 0.1 else None,
                canceled_after=rng.uniform(0, 9) if rng.random() < CANCELED else None,
                subscribers=[_subscriber(rng) for _ in range(rng.choice((1, 1, 1, 2)))],
                also_watched_by_an_earlier=rng.random() < 0.25,
            )
        )
    return Plan(jobs, kills=max(3, round(count * KILLS_A_JOB)))


def _may_have_a_twin(prompt: str) -> bool:
    # The simulator counts create faults by prompt: one of the two would have the other's.
    return "create=" not in prompt or "create=timeout_after" in prompt or "create=reset_after" in prompt


def _faults_of_jobs(rng: random.Random, count: int) -> list[list[str]]:
    """Every fault at least once, where there are jobs enough; half of the jobs have none; some have several."""
    faulty = min(count, max(len(FAULTS), count // 2))
    bag = _bag(rng)
    jobs: list[list[str]] = []
    for _ in range(faulty):
        first = next(bag)
        mine = [first]
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
            other = rng.choice(list(FAULTS))
            keys = {fault.partition("=")[0] for fault in mine}
            # What ends a job early would keep the other fault from happening.
            if other.partition("=")[0] not in keys and not {first, other} & ENDS_WITHOUT_VIDEO:
                mine.append(other)
        jobs.append(mine)
    jobs += [[] for _ in range(count - faulty)]
    rng.shuffle(jobs)
    return jobs


def _bag(rng: random.Random) -> Iterator[str]:
    while True:
        names = list(FAULTS)
        rng.shuffle(names)
        yield from names


def _prompt(rng: random.Random, seed: int, number: int, faults: list[str]) -> str:
    # A status can be seen at the looks alone, of which the first comes after 5 s.
    slow = any(fault.startswith("status=") for fault in faults)
    words = [f"render={rng.randint(7, 11) if slow else rng.randint(1, 6)}"]
    for fault in faults:
        words += [fault, *FAULTS[fault](rng).split()]
    if not any(word.startswith("content_mb=") for word in words) and rng.random() < 0.15:
        words.append(_large(rng))
    return f"Bell {number} of soak {seed} [sim {' '.join(words)}]"


def _subscriber(rng: random.Random) -> Subscriber:
    def leaves() -> str:
        return rng.choice(("close", "vanish", "freeze", "unsubscribe"))

    match rng.choices(("stays", "comes and goes", "leaves", "comes late"), (40, 40, 10, 10))[0]:
        case "stays":
            stays = [Stay(0)]
        case "comes and goes":
            stays = [Stay(0, rng.expovariate(1 / 5), leaves())]
            stays += [Stay(rng.expovariate(1 / 4), rng.expovariate(1 / 5), leaves()) for _ in range(rng.randint(0, 2))]
            stays.append(Stay(rng.expovariate(1 / 5)))
        case "leaves":
            stays = [Stay(0, rng.expovariate(1 / 6), leaves())]
        case _:
            stays = [Stay(rng.uniform(5, 50))]
    return Subscriber(stays)
