"""Files that want to execute something, to fill the memory, or that are broken: one sentence, nothing else."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganverse import cli
from ganverse.importing import pickles
from tests.importing_toys import (
    ada_content,
    ada_names,
    foreign_modules,
    pickled,
    port_names,
    rosinality_content,
    stylegan1,
    stylegan2,
    tensorflow2,
    torch_saved,
)

__all__ = ["foreign_modules"]

from tests.importing.hostile_files import ALL, BROKEN, COMMAND, HEAVY, MARKER, Hostile, proto


@pytest.fixture(autouse=True)
def marker() -> Any:
    path = Path(MARKER)
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.usefixtures("foreign_modules")
def test_one_sentence_and_nothing_else(
    kind: str, tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.pkl"
    path.write_bytes(ALL[kind]())
    refused(path, marker, capsys)


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "npy", "zip", "png"])
@pytest.mark.parametrize("kind", ["STACK_GLOBAL", "in a tensor's storage in a zip", "safetensors without a card"])
@pytest.mark.usefixtures("foreign_modules")
def test_the_suffix_changes_nothing(
    kind: str, suffix: str, tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(ALL[kind]())
    refused(path, marker, capsys)


def test_a_pickle_of_too_many_instructions(
    tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", 1000)
    path = tmp_path / "file.pkl"
    path.write_bytes(proto(b"cargparse\nNamespace\nq\x00" + b"h\x00)R0" * 1000 + b"N", 2))
    assert "more than 1000 instructions" in refused(path, marker, capsys)


WATCH = """
import re, sys, time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from ganverse import cli

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

cli.main(["import-gan", "/none", "-o", "/none"])  # imports what there is to import
for path in sys.argv[2:]:
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, start = peak(), time.process_time()
    with redirect_stderr(StringIO()) as shown, redirect_stdout(shown):
        status = cli.main(["import-gan", path, "-o", sys.argv[1]])
    row = [Path(path).name, status, time.process_time() - start, (peak() - before) / 2**20, shown.getvalue()]
    print("\\t".join(map(str, row)), end="", flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read from Linux")
@pytest.mark.usefixtures("foreign_modules")
def test_heavy_files_take_ten_seconds_and_a_gigabyte_at_most(tmp_path: Path) -> None:
    """In a process of its own: the checks of annotations take a hundred times longer than what they check here."""
    for kind, make in HEAVY.items():
        (tmp_path / kind).write_bytes(make())
    paths = [str(tmp_path / kind) for kind in HEAVY]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WATCH, str(tmp_path / "out"), *paths]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == list(HEAVY), done.stderr
    for kind, status, seconds, gigabytes, sentence in rows:
        assert (int(status), float(seconds) < 10, float(gigabytes) < 1) == (cli.BAD_INPUT, True, True), kind
        assert re.fullmatch(r"ganverse: expected .{20,400}; nothing written", sentence), kind
    assert not (tmp_path / "out").exists()


def refused(path: Path, marker: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The sentence with which a file is refused, after which there is nothing but the file."""
    folder = path.parent
    assert cli.main(["import-gan", str(path), "-o", str(folder / "out"), *options]) == cli.BAD_INPUT
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("ganverse: expected ")
    assert shown.err.count("\n") == 1
    assert str(path) in shown.err
    assert len(shown.err) < 400 + len(str(path)) * 2
    assert not marker.exists()
    assert [file.name for file in folder.iterdir()] == [path.name]
    return shown.err


@pytest.mark.parametrize(
    ("make", "index", "sentence"),
    [
        (BROKEN["conditional"], None, "choose a class with --class-index 0 ... 9"),
        (BROKEN["conditional"], 10, "choose a class with --class-index 0 ... 9"),
        (BROKEN["conditional"], -1, "choose a class with --class-index 0 ... 9"),
        (lambda: pickled(ada_content(ada_names(stylegan2()))), 0, "omit --class-index"),
        (lambda: torch_saved(port_names(stylegan1())), 0, "omit --class-index"),
    ],
)
@pytest.mark.usefixtures("foreign_modules")
def test_classes_that_there_are_not(
    make: Hostile, index: int | None, sentence: str, tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.pkl").write_bytes(make())
    options = () if index is None else ("--class-index", str(index))
    assert sentence in refused(tmp_path / "file.pkl", marker, capsys, *options)


@pytest.mark.usefixtures("foreign_modules")
def test_source_code_beside_proper_weights_is_left_alone(tmp_path: Path, marker: Path) -> None:
    content = ada_content(ada_names(stylegan2()))
    content["G_ema"].meta["module_src"] = f"import os; os.system({COMMAND!r})"
    (tmp_path / "file.pkl").write_bytes(pickled(content))
    assert cli.main(["import-gan", str(tmp_path / "file.pkl"), "-o", str(tmp_path / "out")]) == 0
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["GLOBAL and REDUCE", "posix for os", "STACK_GLOBAL"])
def test_the_routes_do_execute_in_python(kind: str, marker: Path) -> None:
    pickle.loads(ALL[kind]())  # noqa: S301 - that this is dangerous is what it shows
    assert marker.exists()


@pytest.mark.usefixtures("foreign_modules")
def test_damaged_files_never_raise(tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A byte here and there: either still the same kind of weights, or one sentence."""
    random = np.random.default_rng(0)
    files = [
        pickled(ada_content(ada_names(stylegan2()))),
        torch_saved(rosinality_content(stylegan2(), training=True)),
        torch_saved(port_names(stylegan1()), zipped=False),
        pickled(tensorflow2(stylegan2()), 2),
    ]
    path = tmp_path / "file.pkl"
    for data in files:
        for _ in range(20):
            damaged = bytearray(data)
            for place in random.integers(0, len(data), 3):
                damaged[place] = random.integers(0, 256)
            path.write_bytes(damaged)
            status = cli.main(["import-gan", str(path), "-o", str(tmp_path / "out")])
            assert status == 0 or capsys.readouterr().err.count("\n") == 1
            capsys.readouterr()
    assert not marker.exists()
