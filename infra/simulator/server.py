"""The routes: OpenAI's Videos API under /v1, and the simulator's own controls under /simulator."""

import hmac
import json
import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from .content import content_expired, hang, reset_connection, serve_content
from .errors import SERVER_ERROR, ApiError, server_failed, video_not_found
from .faults import FaultError, Faults, is_within, parse_object
from .ledger import CreateCall
from .orders import Order, check_order, read_fields
from .provider import Provider
from .videos import TAKEN, Video

log = logging.getLogger("simulator.requests")

HOST = "127.0.0.1"
MAX_BODY_BYTES = 64 * 1024 * 1024
SHUTDOWN_SECONDS = 0.5
DEFAULT_PAGE = 20
EXPECTED_ERRORS = (ApiError, FaultError, web.HTTPException)
BAD_GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


async def start(provider: Provider, api_key: str, port: int) -> web.AppRunner:
    """Serve on loopback until the runner's `cleanup`, which closes the provider too. OSError if it can't listen."""
    app = web.Application(middlewares=[log_request, answer_errors], client_max_size=MAX_BODY_BYTES)
    app.add_routes(VideoRoutes(provider, api_key).table() + ControlRoutes(provider).table())
    app.on_cleanup.append(lambda _: provider.close())
    # A handler ends with its client: that is what the faults that never answer wait for.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


@web.middleware
async def log_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    began, outcome = time.monotonic(), "not answered"
    try:
        response = await handler(request)
        outcome = str(response.status)
        return response
    finally:
        # The controls are polled by tests; what the product asks is what one wants to read.
        level = logging.DEBUG if request.path.startswith("/simulator/") else logging.INFO
        spent = (time.monotonic() - began) * 1000
        log.log(level, "%s %s -> %s in %.0f ms", request.method, request.path_qs, outcome, spent)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except EXPECTED_ERRORS as error:
        return as_api_error(error).response()


def as_api_error(error: Exception) -> ApiError:
    match error:
        case ApiError():
            return error
        case web.HTTPException():
            return ApiError(error.status, f"{error.reason}.")
        case _:
            return ApiError(400, str(error), code="invalid_simulator_fault")


class VideoRoutes:
    """OpenAI's routes, behind the API key."""

    def __init__(self, provider: Provider, api_key: str) -> None:
        self._provider = provider
        self._authorization = f"Bearer {api_key}".encode()

    def table(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/videos", self._authorized(self.create)),
            web.get("/v1/videos", self._authorized(self.list_videos), allow_head=False),
            web.get("/v1/videos/{id}", self._authorized(self.retrieve), allow_head=False),
            web.delete("/v1/videos/{id}", self._authorized(self.delete)),
            web.get("/v1/videos/{id}/content", self._authorized(self.content), allow_head=False),
        ]

    def _authorized(self, handler: Handler) -> Handler:
        async def check(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, self._authorization):
                raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
            return await handler(request)

        return check

    async def create(self, request: web.Request) -> web.StreamResponse:
        call = CreateCall(at=self._provider.clock())
        self._provider.ledger.creates.append(call)
        try:
            response = await self._create(request, call)
        except EXPECTED_ERRORS as error:
            call.answered = as_api_error(error).status
            raise
        call.answered = response.status
        return response

    async def _create(self, request: web.Request, call: CreateCall) -> web.StreamResponse:
        fields = await read_fields(request)
        call.prompt, call.model = fields.get("prompt"), fields.get("model")
        call.seconds, call.size = fields.get("seconds"), fields.get("size")
        order = check_order(fields)
        call.model, call.seconds, call.size = order.model, order.seconds, order.size
        faults = self._provider.faults_for(order.prompt)

        fault = faults.create if is_within(self._provider.ledger.creates_of(order.prompt), faults.times) else None
        if fault is not None:
            log.info("create=%s, as asked", fault)
        match fault:
            case "rate_limited" | "unavailable" | "error_500" | "refused":
                raise refusal(fault, faults)
            case "bad_gateway":
                return web.Response(status=502, text=BAD_GATEWAY_PAGE, content_type="text/html")
            case "timeout_before":
                call.answered = "hung"
                await hang()
            case "timeout_after":
                await self._take(order, faults, call)
                call.answered = "hung"
                await hang()
            case "reset_after":
                await self._take(order, faults, call)
                call.answered = "reset"
                await reset_connection(request)
        video = await self._take(order, faults, call)
        return web.json_response(video.as_json(TAKEN))

    async def _take(self, order: Order, faults: Faults, call: CreateCall) -> Video:
        video = self._provider.take(order, faults)
        call.video_id = video.id
        await self._provider.announce(video)
        return video

    async def list_videos(self, request: web.Request) -> web.Response:
        limit = request.query.get("limit", str(DEFAULT_PAGE))
        if not (limit.isascii() and limit.isdigit()) or int(limit) > 100:
            raise ApiError(400, "Invalid 'limit': must be from 0 to 100.", code="invalid_value", param="limit")
        order = request.query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise ApiError(400, "Invalid 'order': must be 'asc' or 'desc'.", code="invalid_value", param="order")
        after = request.query.get("after")
        if after is not None and self._provider.videos.known(after) is None:
            raise ApiError(400, f"Invalid 'after': no video '{after}'.", code="invalid_value", param="after")
        videos, has_more = self._provider.videos.page(after, int(limit), newest_first=order == "desc")
        now = self._provider.clock()
        return web.json_response(
            {
                "object": "list",
                "data": [video.as_json(video.phase(now)) for video in videos],
                "has_more": has_more,
                "first_id": videos[0].id if videos else None,
                "last_id": videos[-1].id if videos else None,
            }
        )

    async def retrieve(self, request: web.Request) -> web.Response:
        video = self._video(request)
        video.reads += 1
        if video.faults.status == "flaky" and video.reads % 2 == 0:
            raise server_failed()
        return web.json_response(video.as_json(video.phase(self._provider.clock())))

    async def delete(self, request: web.Request) -> web.Response:
        video = self._video(request)
        video.deleted = True
        return web.json_response({"id": video.id, "object": "video.deleted", "deleted": True})

    async def content(self, request: web.Request) -> web.StreamResponse:
        video = self._video(request)
        variant = request.query.get("variant", "video")
        if variant not in ("video", "thumbnail"):
            message = f"Invalid value: '{variant}'. Supported values are: 'video', 'thumbnail'."
            raise ApiError(400, message, code="invalid_value", param="variant")
        now = self._provider.clock()
        if video.phase(now).status != "completed":
            raise not_ready()
        if now >= video.expires_at:
            raise content_expired()
        if variant == "thumbnail":
            if video.faults.thumbnail == "missing":
                raise ApiError(404, "This video has no thumbnail.", code="not_found", param="variant")
            return web.Response(body=await self._provider.thumbnail(video), content_type="image/webp")

        video.content_fetches += 1
        fault = video.faults.content if is_within(video.content_fetches, video.faults.content_times) else None
        if fault is not None:
            log.info("content=%s for %s, as asked", fault, video.id)
        file = await self._provider.file(video)
        return await serve_content(request, file, fault, video.faults.content_seconds)

    def _video(self, request: web.Request) -> Video:
        video_id = request.match_info["id"]
        video = self._provider.videos.present(video_id)
        if video is None:
            raise video_not_found(video_id)
        return video


class ControlRoutes:
    """What tests look at and turn. No key: the server listens on loopback alone, and holds nothing of worth."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def table(self) -> list[web.RouteDef]:
        return [
            web.get("/simulator/ledger", self.ledger, allow_head=False),
            web.get("/simulator/videos/{id}/content", self.content, allow_head=False),
            web.put("/simulator/faults", self.replace_faults),
            web.post("/simulator/send", self.send),
        ]

    async def ledger(self, request: web.Request) -> web.Response:
        ledger = self._provider.ledger
        return web.json_response(
            {
                "creates": [call.as_json() for call in ledger.creates],
                "videos": [await self._account(video) for video in self._provider.videos.all()],
                "deliveries": [attempt.as_json() for attempt in ledger.deliveries],
            },
            # A file that came in for a text field is told by its name.
            dumps=lambda body: json.dumps(body, default=str),
        )

    async def _account(self, video: Video) -> dict[str, object]:
        status = video.phase(self._provider.clock()).status
        completed = status == "completed"
        return {
            "id": video.id,
            "prompt": video.order.prompt,
            "status": status,
            "contentFetches": video.content_fetches,
            "sha256": await self._provider.sha256(video) if completed else None,
            "bytes": (await self._provider.file(video)).size if completed else None,
            "deleted": video.deleted,
        }

    async def content(self, request: web.Request) -> web.StreamResponse:
        video_id = request.match_info["id"]
        video = self._provider.videos.known(video_id)
        if video is None:
            raise video_not_found(video_id)
        if video.phase(self._provider.clock()).status != "completed":
            raise not_ready()
        return await serve_content(request, await self._provider.file(video), None, 0)

    async def replace_faults(self, request: web.Request) -> web.Response:
        self._provider.default_faults = parse_object(await read_json(request))
        return web.json_response(self._provider.default_faults)

    async def send(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        if not isinstance(body, dict):
            raise ApiError(400, "The body must be a JSON object.")
        video_id, type, webhook_id = body.get("videoId"), body.get("type"), body.get("webhookId")
        if not (isinstance(video_id, str) and isinstance(type, str) and isinstance(webhook_id, str | None)):
            raise ApiError(400, "Send needs the strings 'videoId' and 'type', and may have the string 'webhookId'.")
        attempt = await self._provider.send(video_id, type, webhook_id)
        return web.json_response(
            {"webhookId": attempt.event.webhook_id, "status": attempt.status, "body": attempt.body}
        )


async def read_json(request: web.Request) -> object:
    """A control's body, whatever type it is said to have: people send these by hand."""
    try:
        return json.loads(await request.read())
    except ValueError:
        raise ApiError(400, "The body must be JSON.") from None


def not_ready() -> ApiError:
    return ApiError(404, "Video is not ready yet, use GET /v1/videos/{video_id} to check status.", code="not_found")


def refusal(fault: str, faults: Faults) -> ApiError:
    """The answer of a create call that takes nothing."""
    retry_after = {"Retry-After": str(faults.retry_after)}
    match fault:
        case "rate_limited":
            message = "Rate limit reached for videos per minute. Please try again later."
            return ApiError(429, message, type="requests", code="rate_limit_exceeded", headers=retry_after)
        case "unavailable":
            message = "The engine is currently overloaded, please try again later."
            return ApiError(503, message, type=SERVER_ERROR, headers=retry_after)
        case "refused":
            return ApiError(400, "The request was refused, as the simulator was asked.", code="invalid_value")
        case _:
            return server_failed()
