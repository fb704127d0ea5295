"""The pages' server in a thread of the test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import httpx
from starlette.applications import Starlette

from ganverse.apps.server import address, listen, make_server


@contextlib.contextmanager
def serving(app: Starlette, port: int = 0) -> Iterator[str]:
    """The address of a running server."""
    server, bound = make_server(app), listen(port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield address(bound)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        assert not thread.is_alive()


@contextlib.contextmanager
def client(app: Starlette) -> Iterator[httpx.Client]:
    """A client of a running server."""
    with serving(app) as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as asking:
        yield asking
