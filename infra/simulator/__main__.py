"""The command line: `python -m simulator --port N --webhook-url URL --webhook-secret whsec_… --api-key KEY`."""

import argparse
import asyncio
import errno
import logging
import signal
import sys

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from .faults import FaultError, Settings, parse_seconds, parse_words
from .provider import Provider
from .server import HOST, start

log = logging.getLogger("simulator")


def main() -> int:
    options = parse_options()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(serve(options))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {options.port} is taken; stop what listens there, or choose another with --port"
        else:
            why = f"cannot listen on {HOST}:{options.port}: {error.strerror}"
        print(f"simulator: {why}", file=sys.stderr)
        return 1
    return 0


async def serve(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    provider = Provider(
        webhook_url=options.webhook_url,
        webhook_secret=options.webhook_secret,
        render_seconds=options.render_seconds,
        default_faults=options.default_faults,
        webhook_timeout=options.webhook_timeout,
    )
    runner = await start(provider, options.api_key, options.port)
    try:
        log.info("listening on http://%s:%d/v1, webhooks go to %s", *runner.addresses[0], options.webhook_url)
        await stopped.wait()
        log.info("stopping; webhooks not yet delivered are dropped")
    finally:
        await runner.cleanup()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="A local server of OpenAI's Videos API with real signed webhooks and faults on request.",
    )
    parser.add_argument("--port", type=port, required=True, help="on 127.0.0.1; 0 takes a free one and says which")
    parser.add_argument("--webhook-url", required=True, help="where webhooks are sent")
    parser.add_argument("--webhook-secret", type=webhook_secret, required=True, help="whsec_ and the key in base64")
    parser.add_argument("--api-key", required=True, help="the bearer token that /v1 asks for")
    parser.add_argument("--render-seconds", type=seconds, default=4, help="how long a video renders (default 4)")
    parser.add_argument("--webhook-timeout", type=seconds, default=5, help="seconds a receiver may take (default 5)")
    parser.add_argument(
        "--default-faults", type=faults, default={}, metavar="'key=value …'", help="faults of every job; see README.md"
    )
    return parser.parse_args()


# The messages below never hold the value of a secret, as argparse's own would.


def webhook_secret(text: str) -> str:
    if not text.startswith("whsec_"):
        raise argparse.ArgumentTypeError("must begin with whsec_")
    try:
        Webhook(text)
    except (ValueError, EmptyWebhookSecretError):
        raise argparse.ArgumentTypeError("must be whsec_ and a key in base64") from None
    return text


def port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


def seconds(text: str) -> float:
    try:
        return parse_seconds(text)
    except FaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def faults(text: str) -> Settings:
    try:
        return parse_words(text)
    except FaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
