"""`python -m local up | demo | logs`; the Makefile's verbs call it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from botocore.exceptions import BotoCoreError

from . import logs
from .demo import RENDER_SECONDS, demo
from .stack import Ports, Provider, Stack, StackError


def up() -> None:
    with Stack(provider=provider_of_environment(), render_seconds=RENDER_SECONDS, say=print) as stack:
        port = stack.ports.ministack
        logs_command = "make logs" if port == 4566 else f"make logs MINISTACK_PORT={port}"
        simulator = f"Provider        {stack.provider.base_url}" + ("  (simulated)" if stack.simulated else "")
        print(
            f"""
Page            {stack.base_url}
API             {stack.base_url}/api/generate?renderVersion=v3
WebSocket       {stack.ws_url}
Webhook         {stack.base_url}/api/webhook/video-events
{simulator}
AWS endpoint    {stack.aws.endpoint}  (region {stack.aws.region}, key and secret "test")
Operator token  {stack.operator_token}  (for {stack.base_url}/api/webhook/events)

Logs: `{logs_command}`, or with F=webhook for one function. Ctrl-C ends it all.""",
            flush=True,
        )
        while not (ended := stack.run.ended()):
            time.sleep(0.5)
        raise StackError(f"{ended.name} has ended. Its last lines:\n{ended.last_lines()}")


def provider_of_environment() -> Provider | None:
    """A real provider, when one is named. Orders there cost money, so it has to be named in full."""
    url, key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    if url and not key:
        raise StackError(
            "OPENAI_BASE_URL is set and OPENAI_API_KEY is not: set both (any text, where the server asks for none)."
        )
    return Provider(url, key) if url and key else None


def show_logs(function: str | None, once: bool) -> None:
    client = Stack(Ports.from_environment()).client("logs")
    try:
        for line in logs.lines(client, Stack.name, function) if once else logs.follow(client, Stack.name, function):
            print(line, flush=True)
    except BotoCoreError:
        raise StackError("No local stack answers: start one with `make dev`.") from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything and keep it running")
    commands.add_parser("demo", help="make one video, from prompt to file, and end")
    showing = commands.add_parser("logs", help="what the functions of the running stack say")
    showing.add_argument("function", nargs="?", help="only this one, for example webhook")
    showing.add_argument("--once", action="store_true", help="do not wait for more")
    wanted = parser.parse_args()

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    # A shell that starts us in the background has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        match wanted.command:
            case "up":
                up()
            case "demo":
                demo()
            case "logs":
                show_logs(wanted.function, wanted.once)
    except StackError as error:
        print("\n".join([f"\n✗ {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        # How `up` and `logs` are meant to end.
        print("\nEnded.")
        sys.exit(130 if wanted.command == "demo" else 0)


if __name__ == "__main__":
    main()
