"""Errors as OpenAI words them: `{"error": {"message", "type", "code", "param"}}`."""

from collections.abc import Mapping

from aiohttp import web

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"


class ApiError(Exception):
    """An answer other than success, raised from anywhere below a route."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = INVALID_REQUEST,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.headers = headers

    def response(self) -> web.Response:
        error = {"message": self.message, "type": self.type, "code": self.code, "param": self.param}
        return web.json_response({"error": error}, status=self.status, headers=self.headers)


def server_failed() -> ApiError:
    return ApiError(500, "The server had an error while processing your request. Sorry about that!", type=SERVER_ERROR)


def video_not_found(video_id: str) -> ApiError:
    return ApiError(404, f"Video with id '{video_id}' not found.", code="not_found", param="video_id")
