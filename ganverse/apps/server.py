"""A page for one person on their own machine: 127.0.0.1 only, everything it needs inside the package."""

from __future__ import annotations

import contextlib
import errno
import socket
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from ganverse.errors import GanverseError

HOST = "127.0.0.1"
PAGES = Path(__file__).parent / "pages"
_NAMES = [HOST, "localhost"]
# Nothing from elsewhere is ever loaded; pictures also come as data: and blob: URLs that the page's own script makes.
_POLICY = "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class OwnPagesOnly(BaseHTTPMiddleware):
    """Refuses what another site's page asks this server for, and keeps answers out of caches."""

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


async def explain(_: Request, error: Exception) -> Response:
    """A user's mistake is one sentence for the page to show."""
    return JSONResponse({"error": str(error)}, status_code=422)


async def json_object(request: Request) -> dict[str, Any]:
    """What a page's script has sent; GanverseError unless it is an object."""
    try:
        document = await request.json()
    except ValueError as error:
        raise GanverseError(f"expected JSON, got {error}") from error
    if not isinstance(document, dict):
        raise GanverseError(f"expected a JSON object, got a {type(document).__name__}")
    return document


def application(page: str, routes: Sequence[BaseRoute]) -> Starlette:
    """The app with `page` (a file of `pages/`) at /, its scripts and styles below /pages, and `routes`."""

    async def index(_: Request) -> Response:
        return FileResponse(PAGES / page, media_type="text/html")

    return Starlette(
        routes=[Route("/", index), *routes, Mount("/pages", StaticFiles(directory=PAGES))],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_NAMES), Middleware(OwnPagesOnly)],
        exception_handlers={GanverseError: explain},
    )


def listen(port: int) -> socket.socket:
    """A socket bound to this port of 127.0.0.1; 0 takes a free one.

    Raises:
        GanverseError: the port is taken, or not to be had.
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
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be had ({error})"
        raise GanverseError(
            f"expected port {port} of {HOST} to be free, but it {why}; give another with --port, 0 for any free one"
        ) from error
    return bound


def address(bound: socket.socket) -> str:
    """What to type into a browser."""
    return f"http://{HOST}:{bound.getsockname()[1]}/"


def make_server(app: Starlette) -> uvicorn.Server:
    """A quiet server of the app; run it on the socket of `listen`."""
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none"))


def serve(app: Starlette, bound: socket.socket, *, open_browser: bool) -> None:
    """Serves until Ctrl-C; opens the page in the person's browser if asked to."""
    if open_browser:
        webbrowser.open(address(bound))
    with contextlib.suppress(KeyboardInterrupt):
        make_server(app).run(sockets=[bound])
