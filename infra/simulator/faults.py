"""The faults that a job can ask for, and the directive in its prompt that does: `[sim key=value key=value …]`.

A key or value that is not known is an error with a sentence, never ignored: a typo must not turn a test of a fault
into a test of nothing.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

DIRECTIVE = re.compile(r"\[sim\s([^\]]*)\]")
DIRECTIVE_START = re.compile(r"\[sim\s")

Settings = Mapping[str, object]
"""Parsed values by key: a part of what `Faults` holds, to be laid over others."""


class FaultError(ValueError):
    """A directive that cannot be followed; the text is for the person who wrote it."""


@dataclass(frozen=True)
class Faults:
    """How one job is to behave. Without any setting it renders, announces and serves as it should."""

    render: float
    """Seconds from being taken to the end of the rendering."""
    fail: str | None = None
    create: str | None = None
    times: int = 1
    """How many create calls with the same prompt are faulty; 0 is all of them."""
    retry_after: int = 1
    webhook: str | None = None
    webhook_delay: float = 10
    webhook_seconds: float = 2
    content: str | None = None
    content_times: int = 1
    """How many fetches of the content are faulty; 0 is all of them."""
    content_seconds: float = 10
    content_mb: int = 0
    thumbnail: str | None = None
    status: str | None = None
    shape: str | None = None


def is_within(number: int, times: int) -> bool:
    """Whether call `number`, counted from 1, is one of the first `times`, where 0 times means always."""
    return times == 0 or number <= times


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise FaultError(f"must be one of {', '.join(names)}")
        return text

    return parse


def parse_seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise FaultError("must be a number of seconds")
    return value


def _count(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) > most:
            raise FaultError(f"must be a whole number from 0 to {most}")
        return int(text)

    return parse


_PARSERS: dict[str, Callable[[str], object]] = {
    "render": parse_seconds,
    "fail": _one_of("moderation", "error"),
    "create": _one_of(
        "rate_limited",
        "unavailable",
        "error_500",
        "bad_gateway",
        "timeout_before",
        "timeout_after",
        "reset_after",
        "refused",
    ),
    "times": _count(1000),
    "retry_after": _count(3600),
    "webhook": _one_of("lost", "twice", "late", "early", "out_of_order", "bad_signature", "slow"),
    "webhook_delay": parse_seconds,
    "webhook_seconds": parse_seconds,
    "content": _one_of("truncated", "truncated_chunked", "not_video", "empty", "reset", "slow", "error_500", "expired"),
    "content_times": _count(1000),
    "content_seconds": parse_seconds,
    # Kept under 4 GiB, so that the padding box needs no 64-bit length.
    "content_mb": _count(4000),
    "thumbnail": _one_of("missing"),
    "status": _one_of("flaky", "unknown", "backwards"),
    "shape": _one_of("numbers", "error_string", "error_number"),
}


def parse_setting(key: str, text: str) -> object:
    parser = _PARSERS.get(key)
    if parser is None:
        raise FaultError(f"Unknown fault '{key}'; the simulator knows {', '.join(_PARSERS)}.")
    try:
        return parser(text)
    except FaultError as error:
        raise FaultError(f"Fault '{key}' {error}, not '{text}'.") from None


def parse_words(text: str) -> Settings:
    """Settings from `key=value key=value …`."""
    settings: dict[str, object] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if not equals:
            raise FaultError(f"'{word}' is not of the form key=value.")
        if key in settings:
            raise FaultError(f"Fault '{key}' is given twice.")
        settings[key] = parse_setting(key, value)
    return settings


def parse_object(body: object) -> Settings:
    """Settings from a JSON object, where a number may stand as a number."""
    if not isinstance(body, dict):
        raise FaultError("The faults must be a JSON object.")
    for key, value in body.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise FaultError(f"Fault '{key}' must be a string or a number.")
    return {key: parse_setting(key, str(value)) for key, value in body.items()}


def parse_prompt(prompt: str) -> Settings:
    """Settings from the directive in a prompt, wherever in it; none if there is no directive."""
    directives = DIRECTIVE.findall(prompt)
    if len(directives) != len(DIRECTIVE_START.findall(prompt)):
        raise FaultError("The [sim …] directive is not closed.")
    return parse_words(" ".join(directives))
