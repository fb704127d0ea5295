"""Sources of files to import: local paths, Hugging Face repositories."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

from ganverse import cli
from ganverse.errors import GanverseError
from ganverse.generators import load_generator
from ganverse.importing import importer
from ganverse.importing.importer import read_source
from tests.importing_toys import port_names, stylegan1, torch_saved

DATA = b"weights"


@pytest.mark.parametrize(
    "source",
    [
        "http://example.org/x",
        "file:///etc/passwd",
        "s3://a/b",
        "https://a/b.pkl",
        "hf://owner/file",
        "hf://a/b/",
        "hf://",
        ".",
        "..",
        "",
    ],
)
def test_no_sources(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["import-gan", source, "-o", str(tmp_path / "out")]) == cli.BAD_INPUT
    assert "expected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "MAX_FILE", 3)
    (tmp_path / "a.pkl").write_bytes(DATA)
    with pytest.raises(GanverseError, match="at most"):
        read_source(str(tmp_path / "a.pkl"))


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
    assert read_source(str(tmp_path / "a")) == DATA
    with pytest.raises(GanverseError, match="found none"):
        read_source(str(tmp_path / "b"))
    with pytest.raises(GanverseError, match="found a folder"):
        read_source(str(tmp_path))


def test_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pkl").write_bytes(DATA)
    hub = types.ModuleType("huggingface_hub")

    def hf_hub_download(repository: str, file: str) -> str:
        if repository != "owner/repo":
            raise OSError("404\nnot found")
        return str(tmp_path / file)

    hub.hf_hub_download = hf_hub_download  # ty: ignore
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert read_source("hf://owner/repo/net.pkl") == DATA
    with pytest.raises(GanverseError, match=r"got: 404$"):
        read_source("hf://owner/other/net.pkl")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(GanverseError, match=r"ganverse\[hub\]"):
        read_source("hf://owner/repo/net.pkl")


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
