"""Files from addresses: only https, only what was meant, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import types
import urllib.error
import urllib.request
from http.client import HTTPMessage
from pathlib import Path
from typing import IO

import pytest

from ganverse import cli
from ganverse.errors import GanverseError
from ganverse.generators import load_generator
from ganverse.importing import sources
from ganverse.importing.sources import file_name, read_source
from tests.importing_toys import port_names, stylegan1, torch_saved

DATA = b"weights"
SHA256 = hashlib.sha256(DATA).hexdigest()
URL = "https://example.org/a/network.pkl"


class Broken(io.BytesIO):
    """A connection that is lost after the first piece."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise ConnectionResetError("lost")
        return super().read(3)


def served(data: bytes) -> object:
    return lambda url: io.BytesIO(data)


def test_https_gives_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_open_https", served(DATA))
    assert read_source(URL, SHA256) == DATA
    assert read_source(URL, SHA256.upper()) == DATA
    with pytest.raises(GanverseError, match="with sha256 0000"):
        read_source(URL, "0" * 64)


def test_https_needs_a_hash() -> None:
    with pytest.raises(GanverseError, match="--sha256"):
        read_source(URL, None)


@pytest.mark.parametrize("error", [urllib.error.URLError("no such host"), TimeoutError("slow"), ValueError("odd")])
def test_what_cannot_be_had(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_url(url: str) -> IO[bytes]:
        raise error

    monkeypatch.setattr(sources, "_open_https", open_url)
    with pytest.raises(GanverseError, match="cannot be read"):
        read_source(URL, SHA256)


def test_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_open_https", lambda url: Broken(DATA))
    with pytest.raises(GanverseError, match="lost"):
        read_source(URL, SHA256)


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FILE", 3)
    monkeypatch.setattr(sources, "_open_https", served(DATA))
    with pytest.raises(GanverseError, match="at most"):
        read_source(URL, SHA256)


@pytest.mark.parametrize("to", ["http://example.org/x", "file:///etc/passwd", "ftp://example.org/x"])
def test_redirections_stay_on_https(to: str) -> None:
    handler = sources._HttpsOnly()
    request = urllib.request.Request(URL)
    with pytest.raises(ValueError, match="not https"):
        handler.redirect_request(request, io.BytesIO(), 302, "", HTTPMessage(), to)
    kept = handler.redirect_request(request, io.BytesIO(), 302, "", HTTPMessage(), "https://b.org/x")
    assert kept is not None
    assert kept.full_url == "https://b.org/x"


def test_an_address_that_is_none() -> None:
    with pytest.raises(GanverseError, match="expected an address"):
        file_name("https://[x/a.pkl")


@pytest.mark.parametrize(
    "source", ["http://example.org/x", "file:///etc/passwd", "s3://a/b", "hf://owner/file", "hf://"]
)
def test_other_addresses(source: str) -> None:
    with pytest.raises(GanverseError, match="expected"):
        read_source(source, SHA256)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("gan#1.pkl", "gan#1.pkl"),
        ("/a/gan?x.pkl", "gan?x.pkl"),
        ("a b/100%25.pkl", "100%25.pkl"),
        ("https:/host/gan#1.pkl", "gan#1.pkl"),
        ("https://host/a/gan.pkl?download=1#top", "gan.pkl"),
        ("https://host/a/gan%231.pkl", "gan%231.pkl"),
        ("hf://owner/repo/deep/gan#1?.pkl", "gan#1?.pkl"),
    ],
)
def test_names(source: str, name: str) -> None:
    assert file_name(source) == name


@pytest.mark.parametrize(
    "source",
    ["https://host/", "https://host", "https://host/?a=b.pkl", "https://host/a/..", "hf://a/b/", ".", "..", ""],
)
def test_sources_without_a_name(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["import-gan", source, "-o", str(tmp_path / "out"), "--sha256", SHA256]) == cli.BAD_INPUT
    assert "expected the name of a file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["gan#1", "gan?x", "100%25", "a.b"])
def test_local_names_are_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.pt").write_bytes(torch_saved(port_names(stylegan1())))
    assert cli.main(["import-gan", str(tmp_path / f"{name}.pt"), "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}{ending}" for ending in (".json", ".md", ".safetensors")
    ]
    load_generator(tmp_path / "out" / f"{name}.safetensors")


def test_pipes_are_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.pkl")
    assert cli.main(["import-gan", str(tmp_path / "pipe.pkl"), "-o", str(tmp_path / "out")]) == cli.BAD_INPUT
    assert "expected a file" in capsys.readouterr().err


def test_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    assert read_source(str(tmp_path / "a"), None) == DATA
    with pytest.raises(GanverseError, match="found none"):
        read_source(str(tmp_path / "b"), None)
    with pytest.raises(GanverseError, match="found a folder"):
        read_source(str(tmp_path), None)


def test_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pkl").write_bytes(DATA)
    hub = types.ModuleType("huggingface_hub")

    def hf_hub_download(repository: str, file: str) -> str:
        if repository != "owner/repo":
            raise OSError("404\nnot found")
        return str(tmp_path / file)

    hub.hf_hub_download = hf_hub_download  # ty: ignore
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert read_source("hf://owner/repo/net.pkl", SHA256) == DATA
    with pytest.raises(GanverseError, match=r"got: 404$"):
        read_source("hf://owner/other/net.pkl", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(GanverseError, match=r"ganverse\[hub\]"):
        read_source("hf://owner/repo/net.pkl", None)


def test_a_whole_import_from_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = torch_saved(port_names(stylegan1()))
    monkeypatch.setattr(sources, "_open_https", served(data))
    address = f"{URL}?download=1"
    assert cli.main(["import-gan", address, "-o", str(tmp_path / "out"), "--sha256", "0" * 64]) == cli.BAD_INPUT
    assert not (tmp_path / "out").exists()
    right = hashlib.sha256(data).hexdigest()
    assert cli.main(["import-gan", address, "-o", str(tmp_path / "out"), "--sha256", right]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "network.json",
        "network.md",
        "network.safetensors",
    ]
    assert "CC BY-NC" in capsys.readouterr().out


@pytest.mark.parametrize("crop", ["512", "ax4", "4x", "0x4", "40x4"])
def test_crops_that_are_none(crop: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(torch_saved(port_names(stylegan1())))
    try:
        status = cli.main(["import-gan", str(path), "-o", str(tmp_path / "out"), "--crop", crop])
    except SystemExit as stop:
        status = stop.code
    assert status == cli.BAD_INPUT
    assert not (tmp_path / "out").exists()
    assert "crop" in capsys.readouterr().err
