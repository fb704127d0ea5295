import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.other_renderers import silhouette_edges
from benchmarks.renderer import main


def test_a_small_run_prints_and_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "renderer.json"
    options = f"--faces 320 --batch 2 --seconds 0.001 --only warp reference --json {path}".split()
    main(["--sizes", "12", *options])
    assert "12" in capsys.readouterr().out
    main(["--sizes", "16", *options])
    records = json.loads(path.read_text())
    assert {record["backend"] for record in records} == {"warp", "reference"}
    assert len(records) == 8
    assert {record["size"] for record in records} == {12, 16}, "the first run's stay"
    assert {record["pass"] for record in records} == {"forward", "both"}
    for record in records:
        assert set(record) == {"backend", "size", "faces", "pass", "cpu_ms", "wall_ms", "peak_mb"}
        assert record["faces"] == 320
        assert 0 < record["wall_ms"] < 60_000
    assert "warp" in capsys.readouterr().out


def test_silhouette_edges_lie_between_a_front_and_a_back_face() -> None:
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    one = silhouette_edges(faces, np.array([True, False]))
    assert one[0, 2]
    assert one[1, 0]
    both = silhouette_edges(faces, np.array([True, True]))
    assert not both[0, 2], "the shared edge lies between two fronts"
    assert not both[1, 0]
