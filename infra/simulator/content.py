"""Sending a video's bytes, whole or as one of the content faults asks. Never more than a chunk is in memory."""

import asyncio
import socket
import struct
from typing import NoReturn

from aiohttp import web

from .errors import ApiError, server_failed
from .media import CHUNK, VideoFile

VIDEO_TYPE = "video/mp4"
NOT_A_VIDEO = "<!doctype html><title>Just a moment…</title><p>This is no video.</p>"
SLOW_PIECES = 100


async def serve_content(
    request: web.Request, file: VideoFile, fault: str | None, slow_seconds: float
) -> web.StreamResponse:
    match fault:
        case "truncated":
            response = await _begin(request, file.size)
            await _write(response, file, file.size // 2)
            # A promise of more, and the connection closed in good order.
            response.force_close()
            return response
        case "truncated_chunked":
            response = await _begin(request, None)
            await _write(response, file, file.size // 2)
            return response
        case "not_video":
            # It says that it is one: only the bytes tell.
            return web.Response(body=NOT_A_VIDEO.encode(), content_type=VIDEO_TYPE)
        case "empty":
            return web.Response(body=b"", content_type=VIDEO_TYPE)
        case "reset":
            response = await _begin(request, file.size)
            await _write(response, file, file.size // 2)
            await reset_connection(request)
        case "slow":
            response = await _begin(request, file.size)
            await _write_slowly(response, file, slow_seconds)
            return response
        case "error_500":
            raise server_failed()
        case "expired":
            raise content_expired()
        case _:
            response = await _begin(request, file.size)
            await _write(response, file, file.size)
            return response


def content_expired() -> ApiError:
    return ApiError(404, "The content of this video has expired and is no longer available.", code="not_found")


async def hang() -> NoReturn:
    """Answer nothing. The server cancels a handler whose client has gone."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody ends this future")


async def reset_connection(request: web.Request) -> NoReturn:
    """End the connection with a TCP reset, where a close would be a FIN."""
    if request.transport is not None:
        linger_for_no_time = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)
        request.transport.abort()
    await hang()


async def _begin(request: web.Request, length: int | None) -> web.StreamResponse:
    """Send the headers; without a length, the body goes out chunked."""
    response = web.StreamResponse(headers={"Content-Type": VIDEO_TYPE})
    if length is None:
        response.enable_chunked_encoding()
    else:
        response.content_length = length
    await response.prepare(request)
    return response


async def _write(response: web.StreamResponse, file: VideoFile, upto: int) -> None:
    left = upto
    for chunk in file.chunks():
        await response.write(chunk[:left])
        left -= len(chunk)
        if left <= 0:
            return


async def _write_slowly(response: web.StreamResponse, file: VideoFile, seconds: float) -> None:
    # Small pieces often, so that it is a slow stream and not a stalled one.
    for chunk in file.chunks(min(CHUNK, -(-file.size // SLOW_PIECES))):
        await response.write(chunk)
        await asyncio.sleep(seconds * len(chunk) / file.size)
