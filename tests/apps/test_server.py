"""What holds for both pages: local only, free or refused ports, no foreign requests."""

from __future__ import annotations

import json
import re
import socket

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ganverse import cli
from ganverse.apps.server import HOST, PAGES, address, application, json_object, listen
from ganverse.errors import GanverseError
from tests.apps.serving import client


async def echo(request: Request) -> Response:
    return JSONResponse(await json_object(request))


APP = application("annotate.html", [Route("/echo", echo, methods=["POST"])])


def test_port_zero_is_a_free_one_of_this_machine_only() -> None:
    with listen(0) as first, listen(0) as second:
        assert address(first) != address(second)
        assert first.getsockname()[0] == HOST


@pytest.mark.parametrize("command", [["annotate"], ["studio"]])
def test_a_taken_port_is_one_sentence_and_status_2(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with listen(0) as bound:
        port = bound.getsockname()[1]
        assert cli.main([*command, "--port", str(port), "--no-browser"]) == cli.BAD_INPUT
    complaint = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 to be free, but it is taken" in complaint
    assert "Traceback" not in complaint


def test_impossible_ports() -> None:
    with pytest.raises(GanverseError, match="65536"):
        listen(65536)


def test_a_restarted_server_gets_its_port_back() -> None:
    with listen(0) as bound:
        port = bound.getsockname()[1]
        with socket.create_connection((HOST, port)):
            accepted, _ = bound.accept()
            accepted.close()  # leaves the port in TIME_WAIT
    with listen(port) as again:
        assert again.getsockname()[1] == port


def test_the_page_and_its_files() -> None:
    with client(APP) as asking:
        page = asking.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        for name in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
            assert asking.get(name).status_code == 200, name
        assert asking.get("/pages/../server.py").status_code == 404
        assert asking.get("/nothing").status_code == 404


def test_other_sites_and_rebound_names_are_refused() -> None:
    with client(APP) as asking:
        assert asking.post("/echo", json={"a": 1}).json() == {"a": 1}
        assert asking.post("/echo", json={}, headers={"origin": "http://evil.example"}).status_code == 403
        assert asking.post("/echo", json={}, headers={"host": "evil.example"}).status_code == 400
        own = str(asking.base_url).rstrip("/")
        assert asking.post("/echo", json={}, headers={"origin": own}).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[1]", b'"text"'])
def test_wrong_bodies_are_one_sentence(body: bytes) -> None:
    with client(APP) as asking:
        answer = asking.post("/echo", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("expected")
    json.dumps(answer.json())


def test_pages_name_no_other_host() -> None:
    for path in PAGES.iterdir():
        others = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.\w+", path.read_text()))
        assert others <= {"http://www.w3.org"}, path.name
