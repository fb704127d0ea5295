"""The server of a page for one person on their own machine: 127.0.0.1 only, all files inside the package."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import socket
import sys
import webbrowser
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from ganverse.devices import add_device_option
from ganverse.errors import GanverseError
from ganverse.io import whole_number

HOST = "127.0.0.1"
PAGES = Path(__file__).parent / "pages"
_NAMES = [HOST, "localhost"]
# Loads nothing from elsewhere; images also come as data: and blob: URLs made by the page's own script.
_POLICY = "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class OwnPagesOnly(BaseHTTPMiddleware):
    """Refuses requests of other sites' pages, and keeps responses out of caches."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """403 for a foreign Origin."""
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{request.headers.get('host')}":
            return JSONResponse({"error": "expected a request of this server's own page"}, status_code=403)
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        return response


async def _explain(_: Request, error: Exception) -> Response:
    """A user's mistake is one sentence for the page to show."""
    return JSONResponse({"error": str(error)}, status_code=400)


async def _disconnected(_: Request, __: Exception) -> Response:
    """Nobody reads the response to an aborted upload, but without one the server logs a traceback."""
    return Response(status_code=400)


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request.

    Raises:
        GanverseError: it has more than `limit` bytes. The rest is read and thrown away, so that the client gets to
            the answer.
    """
    data, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        data += part[: limit + 1 - len(data)]
    if size > limit:
        raise GanverseError(f"expected at most {limit:,} bytes, got {size:,}; send less")
    return bytes(data)


async def read_json(request: Request, limit: int = 2**20) -> dict[str, Any]:
    """The JSON object in the body of a request; its numbers are finite and have at most 17 digits before the point.

    Raises:
        GanverseError: it is too large, no JSON, nested too deeply, or no object.
    """
    return parse_json(await read_body(request, limit))


def parse_json(data: bytes) -> dict[str, Any]:
    """As `read_json`, of these bytes."""
    try:
        document = json.loads(data, parse_int=whole_number, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise GanverseError(f"expected JSON, got {error}; reload the page") from error
    if not isinstance(document, dict):
        raise GanverseError(f"expected a JSON object, got a {type(document).__name__}; reload the page")
    return document


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text[:20]}")
    return number


def application(page: str, routes: Sequence[BaseRoute]) -> Starlette:
    """The app with `page` (a file of `pages/`) at /, its scripts and styles below /pages, and `routes`."""

    async def index(_: Request) -> Response:
        return FileResponse(PAGES / page, media_type="text/html")

    return Starlette(
        routes=[Route("/", index), *routes, Mount("/pages", StaticFiles(directory=PAGES))],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_NAMES), Middleware(OwnPagesOnly)],
        exception_handlers={GanverseError: _explain, ClientDisconnect: _disconnected},
    )


def add_page_options(parser: ArgumentParser, port: int) -> None:
    """What both commands have."""
    add_device_option(parser)
    parser.add_argument("--port", type=int, default=port, help="port on 127.0.0.1; 0 for any (default: %(default)s)")
    parser.add_argument("--no-browser", action="store_true", help="only print the page's address")


def listen(port: int) -> socket.socket:
    """A socket bound to this port of 127.0.0.1; 0 takes a free one.

    Raises:
        GanverseError: the port is taken or not permitted.
    """
    if not 0 <= port < 65536:
        raise GanverseError(f"expected --port between 0 and 65535, got {port}")
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A restarted server gets its port back at once; two that listen on one port are refused all the same.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise GanverseError(
            f"expected port {port} of {HOST} to be free, but it {why}; give another with --port, 0 for any free one"
        ) from error
    return bound


def address(bound: socket.socket) -> str:
    """The page's URL."""
    return f"http://{HOST}:{bound.getsockname()[1]}/"


def make_server(app: Starlette) -> uvicorn.Server:
    """A quiet server of the app; run it on the socket of `listen`."""
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none"))


def tell(sentence: str) -> None:
    """A line for the person who has started the server."""
    print(sentence, file=sys.stderr, flush=True)


def serve(app: Starlette, bound: socket.socket, *, open_browser: bool) -> None:
    """Serves until Ctrl-C; `open_browser` opens the page in the person's browser."""
    if open_browser:
        webbrowser.open(address(bound))
    with contextlib.suppress(KeyboardInterrupt):
        make_server(app).run(sockets=[bound])
