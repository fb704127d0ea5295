"""What holds for both pages: local only, free or refused ports, no foreign requests."""

from __future__ import annotations

import re
import resource
import socket

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ganverse import cli
from ganverse.apps.server import HOST, PAGES, address, application, listen, read_json
from ganverse.errors import GanverseError
from tests.apps.serving import client


async def echo(request: Request) -> Response:
    return JSONResponse(await read_json(request))


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


WRONG_BODIES = {
    "empty": b"",
    "cut": b"{",
    "no text": b"\xff",
    "a list": b"[1]",
    "a word": b'"text"',
    "deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not a number": b'{"a": NaN}',
    "infinite": b'{"a": -Infinity}',
    "too large a number": b'{"a": 1e999}',
    "too many digits": b'{"a": ' + b"9" * 5000 + b"}",
    "a number that no float holds": b'{"a": ' + b"9" * 400 + b"}",
    "too many bytes": b'{"a": "' + b"x" * 2**20 + b'"}',
}


@pytest.mark.parametrize("body", WRONG_BODIES.values(), ids=WRONG_BODIES)
def test_wrong_bodies_are_one_sentence(body: bytes) -> None:
    with client(APP) as asking:
        answer = asking.post("/echo", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("expected")
    assert len(answer.text) < 300


def test_a_body_without_end_takes_no_memory() -> None:
    """200 MB without a declared length; what is over the limit is read and forgotten."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with client(APP) as asking:
        answer = asking.post("/echo", content=(bytes(2**20) for _ in range(200)))
    assert (answer.status_code, answer.json()["error"][:16]) == (400, "expected at most")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


def test_an_aborted_upload_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with client(APP) as asking:
        host, port = asking.base_url.host, asking.base_url.port
        for sent in (b"", b'{"a": 1', b'{"a": 1}'):
            with socket.create_connection((host, port)) as line:
                line.sendall(b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8\r\n\r\n" + sent)
        assert asking.post("/echo", json={"a": 1}).json() == {"a": 1}
    assert capfd.readouterr().err == ""


def test_pages_name_no_other_host() -> None:
    for path in PAGES.iterdir():
        others = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.\w+", path.read_text()))
        assert others <= {"http://www.w3.org"}, path.name
