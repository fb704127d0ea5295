"""benchmarks/gpu on a CPU, as small as it gets."""

import json
import math
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import checks, pack, run, steps
from tests import pipeline_toys
from tests.tasks import test_processes, toys

CPU = torch.device("cpu")


def test_packages_travel_in_parts(tmp_path: Path) -> None:
    parts = pack.pack(tmp_path / "kit", 4_000, ["docstring-parser"])
    assert len(parts) > 1
    assert all(part.stat().st_size <= 4_000 for part in parts)
    assert pack.pack(tmp_path / "kit", 4_000, ["docstring-parser"]) == parts, "earlier parts are replaced"
    pack.unpack(tmp_path / "kit")
    for source, place in pack.packed_files(["docstring-parser"]):
        assert (tmp_path / "kit" / place).read_bytes() == source.read_bytes()
    assert (tmp_path / "kit/docstring_parser/__init__.py").is_file()


def test_compiled_packages_are_refused() -> None:
    with pytest.raises(SystemExit, match="without compiled modules"):
        list(pack.packed_files(["pyyaml"]))


def test_what_travels_with_the_repository(tmp_path: Path) -> None:
    sizes = {"a.py": 10, "docs/figures/car.png": 500, ".gitignore": 6, "new.py": 7, "big.ckpt": 900}
    (tmp_path / "docs/figures").mkdir(parents=True)
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"*.ckpt" if name == ".gitignore" else b"#" * size)
    for command in ("init -q", "add a.py docs"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    assert pack.travelling(tmp_path) == (10 + 6 + 7, ["docs/figures/car.png"])


def test_parts_run_on_their_own_and_one_that_fails_spoils_nothing(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    assert run.main(["--device", "cpu", "--output", str(output), "--only", "rendering", "agreement"]) == 1
    parts = json.loads(output.read_text())["parts"]
    assert "KeyError: 'machine'" in parts["rendering"]["error"], "its bandwidth is what the renderer is compared with"
    (record,) = parts["agreement"]["result"]
    assert record.pop("faces") == 1280
    assert record.keys() == {"other_faces", "image", "mask", "corners_gradient", "features_gradient"}
    assert 0 < max(record.values()) < 1e-5


def test_a_part_is_cut_off_when_its_time_is_over(tmp_path: Path) -> None:
    found = run.apart("agreement", CPU, tmp_path / "gpu.json", tmp_path, 0.1)
    assert found["error"] == "cut off after 0 s"


def test_a_step_is_timed_as_configured(tmp_path: Path) -> None:
    generator = pipeline_toys.save_gan(tmp_path)
    flags = pipeline_toys.flags("model", {**pipeline_toys.INVERSE, "images": steps.ENDLESS})
    flags += pipeline_toys.flags("data", {**pipeline_toys.STREAM, "generator": generator})
    found, cli = steps.fit("car/inverse", flags, 2, "32-true", CPU)
    assert found["images_per_second"] == pytest.approx(1000 * 4 / found["ms"])
    assert found["device_busy_ms"] > 0
    assert cli.model.images_seen == 4 * (steps.WARM_UP + 2 + steps.PROFILED)
    assert math.isfinite(found["losses"]["loss/total"])
    parts = steps.shares({"ms": 10.0, "device_busy_ms": 8.0}, generator=1.0, renderer=2.0)
    assert parts == pytest.approx({"generator": 0.1, "renderer": 0.2, "host": 0.2, "network": 0.5})


def test_manual_optimization_is_timed_too(tmp_path: Path) -> None:
    flags = pipeline_toys.flags("model", pipeline_toys.IMAGE_GAN | {"images": steps.ENDLESS})
    flags += pipeline_toys.flags("data", {**pipeline_toys.WORLD_IMAGES, "cache": tmp_path / "cars.npy"})
    found, cli = steps.fit("car/gan", flags, 1, "32-true", CPU)
    assert cli.model.images_seen == 4 * (steps.WARM_UP + 1 + steps.PROFILED)
    assert found["losses"].keys() == {"loss/discriminator", "loss/generator"}


def test_training_for_the_comparison_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_processes.inverse_graphics, "PerceptualDistance", toys.PlainDistance)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    toys.save_files(tmp_path)
    checks.train(tmp_path, CPU, "auto", 1)
    trained = torch.load(tmp_path / "1-0.pt", weights_only=True)
    assert trained["cameras.azimuth"].dtype == torch.float64
    assert (trained["cameras.azimuth"].rad2deg() - torch.tensor(toys.AZIMUTHS)).abs().max() > 0


def test_least_traffic_of_a_render() -> None:
    assert checks.moved_bytes("forward", faces=10, size=4) == 16 * 32 + 960
    assert checks.moved_bytes("both", faces=10, size=4) == 16 * 64 + 2040
