"""The processes of one local stack, and what a crashed stack has left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Every process of a stack carries its run's directory in this variable, and so do the processes that it starts.
MARK = "CLIPBELL_RUN"


class StackError(Exception):
    """The stack can't run. The message says what to do."""


@dataclass
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


class Run:
    """One run's directory, processes and logs. The directory is locked while its stack lives."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._lock: int | None = None
        self._children: list[Child] = []

    def claim(self) -> None:
        """Makes the directory this process's own, after clearing away what crashed runs left beside it and in it."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        for other in self.directory.parent.iterdir():
            if lock := _try_lock(other):
                _end_all_of(other)
                shutil.rmtree(other, ignore_errors=True)
                os.close(lock)
        self.directory.mkdir(exist_ok=True)
        self._lock = _try_lock(self.directory)
        if self._lock is None:
            raise StackError(f"A local stack runs on port {self.directory.name} already: end it, or set another PORT.")

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> Child:
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**environment, MARK: str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own group: Ctrl-C in the terminal reaches only us, and we end everything in order.
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def wait_until(self, child: Child, ready: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if child.process.poll() is not None:
                raise StackError(f"{child.name} has ended. Its last lines:\n{child.last_lines()}")
            if time.monotonic() > deadline:
                raise StackError(f"{child.name} does not start. Its last lines:\n{child.last_lines()}")
            time.sleep(0.05)

    def ended(self) -> Child | None:
        """A process that has ended by itself, if one has."""
        return next((child for child in self._children if child.process.poll() is not None), None)

    def stop(self) -> None:
        """Ends everything, the last started first. Logs stay until the next run."""
        if self._lock is None:
            return
        for child in reversed(self._children):
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + 5
        for child in reversed(self._children):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            _signal_group(child, signal.SIGKILL)
            child.process.wait()
        self._children.clear()
        _end_all_of(self.directory)
        shutil.rmtree(self.directory / "tmp", ignore_errors=True)
        os.close(self._lock)
        self._lock = None


def require_free(port: int, what: str, variable: str) -> None:
    with socket.socket() as probe:
        # As a server would: connections that linger from the last run do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(
                f"Port {port}, for {what}, can't be used: {error.strerror}.\nSet another, for example {variable}={port + 1}."
            ) from None


def answers(port: int) -> bool:
    """Whether somebody listens on this port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _try_lock(directory: Path) -> int | None:
    """The lock of a run's directory, unless its stack lives: the system frees it when the process ends, however."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _signal_group(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)


def _end_all_of(directory: Path) -> None:
    """Ends whatever carries this run's mark, functions included. No guess by name or number: nothing else carries it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 2
        while (left := _marked(directory)) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(0.05)


def _marked(directory: Path) -> list[int]:
    mark = f"{MARK}={directory}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found
