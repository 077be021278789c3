"""The one local address in front of everything: the API under /api/, the WebSocket at /ws, the page elsewhere.

It changes nothing on the way, for a webhook's signature is over the raw bytes.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Coroutine

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    DummyCookieJar,
    TCPConnector,
    WSMsgType,
    WSServerHandshakeError,
    hdrs,
    web,
)
from yarl import URL

from . import page

# Concerns of one connection only (RFC 9110, 7.6.1); Host names this address, not the one behind it.
HOP_BY_HOP = frozenset(
    {"connection", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
# What aiohttp would add by itself.
NOTHING_ADDED = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT)

# Bytes. A longer message closes the connection with 1009, as in API Gateway.
LONGEST_MESSAGE = 128 * 1024

# Close codes that say how a connection ended; none may be sent (RFC 6455, 7.4.1).
NEVER_SENT = {1005, 1006, 1015}

Side = web.WebSocketResponse | ClientWebSocketResponse

SESSION = web.AppKey("session", ClientSession)
HTTP_API = web.AppKey("http_api", str)
WEBSOCKET_API = web.AppKey("websocket_api", str)
PAGE_HEADERS = web.AppKey("page_headers", dict)


async def forward(request: web.Request) -> web.StreamResponse:
    url = URL(request.app[HTTP_API] + request.raw_path, encoded=True)
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
    body = request.content if request.body_exists else None
    try:
        async with request.app[SESSION].request(
            request.method, url, headers=headers, data=body, allow_redirects=False, skip_auto_headers=NOTHING_ADDED
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
    except ClientError as error:
        raise unreachable(error) from error


async def websocket(request: web.Request) -> web.StreamResponse:
    client = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=LONGEST_MESSAGE + 1)
    if not client.can_prepare(request).ok:
        return web.Response(status=426, text="This is the address of a WebSocket.\n")
    url = URL(request.app[WEBSOCKET_API]).with_query(request.query)
    headers = {name: request.headers[name] for name in (hdrs.ORIGIN, hdrs.USER_AGENT) if name in request.headers}
    connect = request.app[SESSION].ws_connect
    try:
        async with connect(url, headers=headers, autoping=False, autoclose=False, max_msg_size=0) as server:
            await client.prepare(request)
            code, reason = await _first_of(_relay(client, server), _relay(server, client))
            await asyncio.gather(
                server.close(code=code, message=reason), client.close(code=code, message=reason), return_exceptions=True
            )
            return client
    except WSServerHandshakeError as error:
        return web.Response(status=error.status, text="The WebSocket API refused the connection.\n")
    except ClientError as error:
        raise unreachable(error) from error


async def _relay(source: Side, target: Side) -> tuple[int, bytes]:
    """Passes on what `source` says until it ends; gives the code and the reason for which `target` is to be closed."""
    while True:
        message = await source.receive()
        match message.type:
            case WSMsgType.TEXT:
                await target.send_str(message.data)
            case WSMsgType.BINARY:
                await target.send_bytes(message.data)
            case WSMsgType.PING:
                await target.ping(message.data)
            case WSMsgType.PONG:
                await target.pong(message.data)
            case WSMsgType.CLOSE:
                return 1000 if message.data in NEVER_SENT else message.data, (message.extra or "").encode()
            case _:
                # Gone without a word, or refused by us: a message too long, or one that is no UTF-8.
                return 1001 if source.close_code in {None, *NEVER_SENT} else source.close_code, b""


async def _first_of(*directions: Coroutine[None, None, tuple[int, bytes]]) -> tuple[int, bytes]:
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    first = done.pop()
    # A side that can't be written to has gone away.
    return (1001, b"") if first.exception() else first.result()


def unreachable(error: ClientError) -> web.HTTPException:
    return web.HTTPBadGateway(text=f"The local stack behind this address does not answer: {error}\n")


async def page_file(request: web.Request) -> web.StreamResponse:
    path = request.match_info["path"] or "index.html"
    headers = request.app[PAGE_HEADERS]
    file = page.FOLDER / path
    if not (page.is_public(path) and file.is_file()):
        return web.Response(status=404, headers=headers, text="There is no such page.\n")
    own = {hdrs.CONTENT_TYPE: page.content_type(path), hdrs.CACHE_CONTROL: page.CACHE_CONTROL}
    return web.FileResponse(file, headers=headers | own)


async def _session(app: web.Application):
    # How long an answer takes is the API's business, and every browser holds a connection: neither is limited here.
    async with ClientSession(
        connector=TCPConnector(limit=0),
        timeout=ClientTimeout(total=None),
        auto_decompress=False,
        cookie_jar=DummyCookieJar(),
    ) as session:
        app[SESSION] = session
        yield


def application(http_api: str, websocket_api: str, bucket: str) -> web.Application:
    # A body goes on as it came, compressed or not.
    app = web.Application(handler_args={"auto_decompress": False})
    app[HTTP_API], app[WEBSOCKET_API], app[PAGE_HEADERS] = http_api, websocket_api, page.headers(bucket)
    app.cleanup_ctx.append(_session)
    app.router.add_route("*", "/api/{path:.*}", forward)
    app.router.add_get("/ws", websocket)
    app.router.add_get("/{path:.*}", page_file)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--http-api", required=True, help="base URL of the HTTP API")
    parser.add_argument("--websocket-api", required=True, help="URL of the WebSocket API's stage")
    parser.add_argument("--bucket", required=True, help="origin of the videos' presigned URLs")
    wanted = parser.parse_args()
    app = application(wanted.http_api, wanted.websocket_api, wanted.bucket)
    web.run_app(app, host="127.0.0.1", port=wanted.port, print=None)


if __name__ == "__main__":
    main()
