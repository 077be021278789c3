"""What a refusal looks like, whoever refuses: a status, a stable code, a sentence, and nothing of the inside."""

from __future__ import annotations

import re
from typing import Any

from client import Answer
from local.stack import Stack

CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# What no caller is to read: names of services and libraries, of types and files, and traces.
INTERNALS = re.compile(
    r"arn:aws|dynamodb|\bsqs\b|amazon|lambda|serde|hyper|tokio|panicked|backtrace|traceback|exception|unwrap|\.rs\b|::",
    re.IGNORECASE,
)


def refused(stack: Stack, answer: Answer, status: int, code: str, *named: str) -> dict[str, Any]:
    """Asserts that a request was refused so, and that the sentence names what the caller has to change."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    fields = {"error", "code", "requestId"} if status >= 500 else {"error", "code"}
    assert set(answer.body) == fields, answer.body
    assert answer.body["code"] == code, answer.body
    is_clear(stack, answer.body, *named)
    return answer.body


def is_clear(stack: Stack, body: dict[str, Any], *named: str) -> None:
    """Asserts that an error's sentence is one for a person, holds the words, and tells nothing of the inside."""
    sentence = body["error"]
    assert CODE.fullmatch(body["code"]), body
    assert re.fullmatch(r"\S.{8,298}\.", sentence), sentence
    for word in named:
        assert word.lower() in sentence.lower(), f"{word!r} is not named: {sentence}"
    text = str(body)
    assert not INTERNALS.search(text), text
    assert not [value for value in stack.outputs.values() if value in text], text
