"""Kills functions' processes in the middle of their work.

A process is one of this very stack, or it is let alone: its environment carries the run's directory. It is held by a
pidfd while that is looked at, so that no other process can be hit that has got its number meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from local.processes import MARK

from .record import Kill

PROC = Path("/proc")
EVERY = 0.003
"""Seconds between two looks at the processes; a submission takes some ten milliseconds."""
NEW_ONES_EVERY = 0.2
OLD_ENOUGH = 1.0
"""Seconds. The local stack ends all processes of a function of which one does not start."""
PATIENCE = 5.0
"""Seconds for which a process is waited for that is in the midst of what is aimed at."""

# What is killed how often, and at what moment: a process whose submission the provider has just taken (`taken`), one that
# has just opened a connection to the provider (`call`: a submission, or a save), one that has computed for a while
# (`long`: a save), one that computes at this moment, or any.
TARGETS = {
    ("advance", "taken"): 20,
    ("advance", "call"): 20,
    ("advance", "long"): 20,
    ("advance", "busy"): 5,
    ("advance", "any"): 5,
    ("webhook", "busy"): 7,
    ("notify", "busy"): 8,
    ("create-job", "busy"): 6,
    ("ws-message", "busy"): 4,
    ("ws-connect", "busy"): 2,
    ("ws-disconnect", "busy"): 2,
    ("reconcile", "any"): 1,
}
COMPUTING = {"busy": (EVERY, 0.0003), "long": (0.1, 0.015)}
"""By aim: within how many seconds a process has to have computed for how many."""


@dataclass
class _Process:
    function: str
    seen_at: float
    computed: list[tuple[float, float]] = field(default_factory=list)
    """When it was looked at, and how many seconds it had computed."""
    sockets: frozenset[str] = frozenset()


class Killer:
    """Not for the event loop: a moment is missed while that has other things to do."""

    def __init__(self, directory: Path, stack: str, provider_port: int, rng: random.Random):
        self._mark = f"{MARK}={directory}".encode()
        self._name = f"AWS_LAMBDA_FUNCTION_NAME={stack}-".encode()
        self._provider = f":{provider_port:04X}"
        self._rng = rng
        self._known: dict[int, _Process] = {}
        self._connections: frozenset[str] = frozenset()
        self._last_caller: int | None = None
        self._provider_log = directory / "simulator.log"
        self._log_read = 0

    def kill_one(self) -> Kill | None:
        """Waits for a process in the midst of something, and kills it; none when there was none for a while."""
        (function, aim), *_ = self._rng.choices(list(TARGETS), list(TARGETS.values()))
        patience, look_anew = time.monotonic() + PATIENCE, 0.0
        for process in self._known.values():
            process.computed.clear()
        first = True
        while (now := time.monotonic()) < patience:
            if now > look_anew:
                self._look_anew()
                look_anew = now + NEW_ONES_EVERY
            hits = [pid for pid in self._aimed_at(function, aim) if now - self._known[pid].seen_at > OLD_ENOUGH]
            if hits and not first:
                pid = self._rng.choice(hits)
                self._wait(aim)
                if self._kill(pid, function):
                    return Kill(time.time(), pid, function, aim)
            first = False
            time.sleep(EVERY)
        return None

    def _wait(self, aim: str) -> None:
        match aim:
            case "call":
                # Before the provider has read it, while it answers, or while the answer is written.
                time.sleep(self._rng.choice((0, 0, self._rng.uniform(0, 0.01), self._rng.uniform(0, 0.1))))
            case "long":
                time.sleep(self._rng.uniform(0, 0.2))

    def _look_anew(self) -> None:
        present = {int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()}
        for gone in self._known.keys() - present:
            del self._known[gone]
        for pid in present - self._known.keys():
            if function := self._function_of(pid):
                self._known[pid] = _Process(function, time.monotonic(), sockets=_sockets_of(pid))

    def _function_of(self, pid: int) -> str | None:
        """Which function of this stack the process is, if it is one."""
        try:
            environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            return None
        if self._mark not in environment:
            return None
        names = [entry.removeprefix(self._name) for entry in environment if entry.startswith(self._name)]
        return names[0].decode() if names else None

    def _aimed_at(self, function: str, aim: str) -> list[int]:
        ours = {pid: process for pid, process in self._known.items() if process.function == function}
        match aim:
            case "call":
                return self._calling(ours)
            case "taken":
                self._last_caller = next(iter(self._calling(ours)), self._last_caller)
                return [self._last_caller] if self._has_taken() and self._last_caller in ours else []
            case "any":
                return list(ours)
        within, least = COMPUTING[aim]
        return [pid for pid, process in ours.items() if _has_computed(pid, process, within, least)]

    def _calling(self, processes: dict[int, _Process]) -> list[int]:
        """Those that have opened a connection to the provider since the last look."""
        before, self._connections = self._connections, self._connected_to_the_provider()
        if not self._connections - before:
            return []
        found = []
        for pid, process in processes.items():
            sockets = _sockets_of(pid)
            if (self._connections - before) & sockets - process.sockets:
                found.append(pid)
            process.sockets = sockets
        return found

    def _has_taken(self) -> bool:
        """Whether the provider has said that it took a video, since the last look."""
        with contextlib.suppress(OSError), self._provider_log.open("rb") as log:
            log.seek(self._log_read)
            new = log.read()
            self._log_read += len(new)
            return b" taken: " in new
        return False

    def _connected_to_the_provider(self) -> frozenset[str]:
        """The inodes of the sockets that are connected to the provider."""
        with contextlib.suppress(OSError):
            rows = (row.split() for row in (PROC / "net" / "tcp").read_text().splitlines()[1:] if self._provider in row)
            return frozenset(row[9] for row in rows if row[2].endswith(self._provider) and row[3] == "01")
        return frozenset()

    def _kill(self, pid: int, function: str) -> bool:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            return False
        try:
            if self._function_of(pid) != function:
                return False
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except OSError:
            return False
        finally:
            os.close(handle)
        self._known.pop(pid, None)
        return True


def _sockets_of(pid: int) -> frozenset[str]:
    found = set()
    with contextlib.suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                target = os.readlink(entry)
                if target.startswith("socket:["):
                    found.add(target[len("socket:[") : -1])
    return frozenset(found)


def _has_computed(pid: int, process: _Process, within: float, least: float) -> bool:
    """Whether its first thread, which does all the work, has run that long on a processor."""
    now = time.monotonic()
    try:
        computed = int((PROC / str(pid) / "schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return False
    samples = process.computed
    samples.append((now, computed))
    while len(samples) > 2 and samples[1][0] <= now - within:
        samples.pop(0)
    return computed - samples[0][1] >= least
