"""`python -m soak --seed N --jobs N`; `make soak` calls it."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

from local import logs
from local.stack import STATE, Ports, Stack, StackError

from . import checker
from .driver import PROVIDER_TIMEOUT, WORKER_TIMEOUT, Driver
from .plan import plan
from .record import Record

PARAMETERS = {"ProviderTimeout": str(PROVIDER_TIMEOUT), "WorkerTimeout": str(WORKER_TIMEOUT)}


def soak(seed: int, jobs: int) -> bool:
    """Whether nothing was lost, nothing doubled, and no other rule broken."""
    begun = time.monotonic()
    print(f"A soak of {jobs} jobs. Again with the same plan: make soak SEED={seed} JOBS={jobs}", flush=True)
    record = Record(seed, jobs, time.time(), WORKER_TIMEOUT)
    with Stack(Ports.free(), parameters=PARAMETERS) as stack:
        driver, prefix = Driver(stack, plan(seed, jobs), record), f"/aws/lambda/{stack.name}-"
        look = partial(checker.gather, stack.client, stack.outputs, stack.simulator_url, prefix)
        evidence = asyncio.run(driver.run(look))
        verdict = checker.check(record, evidence)
        print(f"\n{checker.report(verdict, record, evidence)}\n")
        kept = STATE / "soak" / str(seed)
        keep(kept, stack, record, evidence)
    took = f"{jobs} jobs, seed {seed}, {time.monotonic() - begun:.0f} s"
    if not verdict.violations:
        print(f"✓ Nothing lost, nothing doubled: {took}\n  What was seen, and all logs: {kept}")
        return True
    print(f"✗ {len(verdict.violations)} violations: {took}\n  What was seen, and all logs: {kept}")
    return False


def keep(directory: Path, stack: Stack, record: Record, evidence: checker.Evidence) -> None:
    """All that may explain what is found; the stack's own logs are gone with the next start of any stack."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    record.write(directory / "record.json")
    (directory / "evidence.json").write_text(json.dumps(asdict(evidence), indent=1, default=str))
    (directory / "functions.log").write_text("\n".join(logs.lines(stack.client("logs"), stack.name)) + "\n")
    for log in stack.run.directory.glob("*.log"):
        shutil.copy(log, directory)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="the plan's seed; a random one by default")
    parser.add_argument("--jobs", type=int, default=100, help="how many videos are asked for (100)")
    wanted = parser.parse_args()
    if wanted.jobs < 1:
        parser.error("--jobs must be at least 1")
    seed = wanted.seed if wanted.seed is not None else random.SystemRandom().randrange(1_000_000)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(0 if soak(seed, wanted.jobs) else 1)
    except StackError as error:
        print("\n".join([f"\n✗ {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nEnded.")
        sys.exit(130)


if __name__ == "__main__":
    main()
