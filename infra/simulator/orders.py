"""What a create call asks for, checked as OpenAI checks it."""

import re
from dataclasses import dataclass

from aiohttp import web

from .errors import ApiError

MAX_PROMPT = 32_000
MODEL = re.compile(r"sora-2(-pro)?(-\d{4}-\d{2}-\d{2})?")
SECONDS = ("4", "8", "12")
SIZES = ("720x1280", "1280x720", "1024x1792", "1792x1024")
FIELDS = ("prompt", "model", "seconds", "size", "input_reference")


@dataclass(frozen=True)
class Order:
    prompt: str
    model: str
    seconds: str
    size: str

    @property
    def dimensions(self) -> tuple[int, int]:
        width, height = self.size.split("x")
        return int(width), int(height)


async def read_fields(request: web.Request) -> dict[str, object]:
    """The body's fields, from JSON or a form, not yet checked."""
    if request.content_type in ("multipart/form-data", "application/x-www-form-urlencoded"):
        try:
            form = await request.post()
        except ValueError as error:
            raise ApiError(400, f"Could not parse the form of your request: {error}") from None
        return dict(form)
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except (ValueError, LookupError):  # not JSON, or in a charset that nobody knows
            raise ApiError(400, "We could not parse the JSON body of your request.") from None
        if not isinstance(body, dict):
            raise ApiError(400, "The JSON body of your request must be an object.")
        return body
    message = f"Unsupported content type: '{request.content_type}'. Use 'application/json' or 'multipart/form-data'."
    raise ApiError(400, message, code="unsupported_content_type")


def check_order(fields: dict[str, object]) -> Order:
    """An order from a body's fields. A reference picture is accepted and not used."""
    for name in fields:
        if name not in FIELDS:
            raise ApiError(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    prompt = _text(fields, "prompt", None)
    if not 1 <= len(prompt) <= MAX_PROMPT:
        message = f"Invalid 'prompt': must be 1 to {MAX_PROMPT} characters long, got {len(prompt)}."
        raise ApiError(400, message, code="invalid_value", param="prompt")
    model = _text(fields, "model", "sora-2")
    if not MODEL.fullmatch(model):
        raise ApiError(400, f"The model '{model}' does not exist.", code="model_not_found", param="model")
    seconds = _choice(fields, "seconds", "4", SECONDS)
    size = _choice(fields, "size", "720x1280", SIZES)
    return Order(prompt=prompt, model=model, seconds=seconds, size=size)


def _text(fields: dict[str, object], name: str, default: str | None) -> str:
    value = default if fields.get(name) is None else fields[name]
    if value is None:
        message = f"Missing required parameter: '{name}'."
        raise ApiError(400, message, code="missing_required_parameter", param=name)
    if not isinstance(value, str):
        message = f"Invalid type for '{name}': expected a string, but got {_json_type(value)} instead."
        raise ApiError(400, message, code="invalid_type", param=name)
    return value


def _choice(fields: dict[str, object], name: str, default: str, choices: tuple[str, ...]) -> str:
    value = _text(fields, name, default)
    if value not in choices:
        listed = ", ".join(f"'{choice}'" for choice in choices)
        message = f"Invalid value: '{value}'. Supported values are: {listed}."
        raise ApiError(400, message, code="invalid_value", param=name)
    return value


def _json_type(value: object) -> str:
    """What to call a value in a message to a caller who thinks in JSON."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else "a file"
