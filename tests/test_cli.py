"""The command line: help as checked in, exit statuses, light imports, doctor, reconstruct."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from ganverse import __version__, cli, doctor
from ganverse.errors import GanverseError
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.weights import InverseCard, save_inverse
from ganverse.masks.segmenter import Segmenter
from ganverse.pipeline.commands import SHARED, STAGES, EvaluateCall, stage_settings
from ganverse.pipeline.run_directory import leaves, plain
from ganverse.reconstruct import Box, bounding_square, crop, cut_out, reconstruct_command
from ganverse.weights.shipped import FOLDER
from ganverse.worlds.generator import CarWorldGenerator, world_samples

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "help"
RENEW = "GANVERSE_RENEW_HELP"


@pytest.mark.parametrize("command", ["ganverse", "train", "train generate"])
def test_help_is_the_one_checked_in(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`GANVERSE_RENEW_HELP=1 pytest tests/test_cli.py` writes the files anew; read the difference before committing."""
    shown = help_text(command, capsys, monkeypatch)
    file = GOLDEN / f"{command.replace(' ', '-')}.txt"
    if os.environ.get(RENEW):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(shown)
    assert shown == file.read_text(), f"the help of {command} has changed; {RENEW}=1 pytest tests/test_cli.py renews it"


@pytest.mark.parametrize("command", ["evaluate", *(f"train {stage}" for stage in STAGES)])
def test_help_names_every_setting(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = help_text(command, capsys, monkeypatch)
    settings = plain(EvaluateCall() if command == "evaluate" else stage_settings(command.split()[1], []))
    skipped = ("generate", "inverse", "disentangle", "report") if command == "train all" else ()
    for key, _ in leaves(settings):
        stage, _, rest = key.partition(".")
        if stage not in skipped or rest.split(".")[0] not in SHARED:
            assert f"\n  --{key} " in shown, key


def help_text(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "110")
    name, *rest = command.split()
    call = {"ganverse": cli.main, "evaluate": cli.evaluate, "train": cli.train}[name]
    with contextlib.suppress(SystemExit):
        assert call([*rest, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", [["--help"], ["--version"], ["train", "--help"]])
def test_light_commands_do_not_wait_for_torch(command: list[str]) -> None:
    program = (
        f"import sys; from ganverse.cli import main; status = main({command!r}); "
        "heavy = [name for name in ('torch', 'pytorch_lightning', 'numpy', 'jsonargparse') if name in sys.modules]; "
        "print(heavy, status)"
    )
    start = time.process_time()
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert time.process_time() - start < 1.5


def test_version_and_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"ganverse {__version__}"
    done = subprocess.run([sys.executable, "-m", "ganverse"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("usage: ganverse COMMAND")


def test_every_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fly"]) == cli.BAD_INPUT
    complaint = capsys.readouterr().err
    for name in ("train", "evaluate", "reconstruct", "doctor"):
        assert name in complaint
        assert f"\n  {name} " in cli.HELP
    for stage in STAGES:
        assert stage in cli.TRAIN_HELP


def test_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> int:
        raise GanverseError("expected a, got b; do c")

    def impatient() -> int:
        raise KeyboardInterrupt

    assert cli.guarded(lambda: 0) == 0
    assert cli.guarded(wrong) == 2
    assert capsys.readouterr().err == "ganverse: expected a, got b; do c\n"
    assert cli.guarded(impatient) == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_scripts_only_hand_over(script: str) -> None:
    assert len((ROOT / script).read_text().splitlines()) < 50


def test_doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for word in ("Python", "torch", "render backend on cpu", "segmenter-car.safetensors", "as on its card", "wandb"):
        assert word in shown


def test_doctor_finds_damaged_weights(tmp_path: Path) -> None:
    assert not doctor.shipped_weights(tmp_path)[0].healthy
    source = FOLDER / "segmenter-car.safetensors"
    (tmp_path / "a.safetensors").write_bytes(source.read_bytes()[:-1])
    assert "card is missing" in doctor.shipped_weights(tmp_path)[0].state
    (tmp_path / "a.json").write_text(source.with_suffix(".json").read_text())
    (found,) = doctor.shipped_weights(tmp_path)
    assert not found.healthy
    assert "damaged" in found.state


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = InverseNetworkConfig(
        resolution=32, subdivisions=2, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
    )
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_inverse(InverseGraphicsNetwork(config), CameraTable([0.0]), path, InverseCard("toy", "", 0, 0))
    return path


def photo(path: Path, size: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """A car of the world in a wider landscape; picture [1, 3, size, 2 size] and its mask."""
    _, images, masks = world_samples(0, torch.tensor([3]), CarWorldGenerator(size))
    border = images[:, :, :, -1:].expand(-1, -1, -1, size)
    wide, mask = torch.cat([images, border], dim=3), torch.cat([masks, torch.zeros_like(masks)], dim=3)
    Image.fromarray((wide[0] * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
    return wide, mask


@pytest.mark.parametrize("ending", ["glb", "obj"])
def test_reconstruct(tmp_path: Path, weights: Path, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "a.png")
    arguments = [
        "reconstruct",
        str(tmp_path / "a.png"),
        "-o",
        str(tmp_path / f"car.{ending}"),
        "--weights",
        str(weights),
    ]
    assert cli.main(arguments) == 0
    assert f"car.{ending}" in capsys.readouterr().out
    (mesh,) = trimesh.load_scene(tmp_path / f"car.{ending}").geometry.values()
    assert np.ptp(mesh.vertices[:, 2]) == pytest.approx(2 * 0.98, rel=0.05)
    assert len(mesh.faces) == 320
    with Image.open(tmp_path / "car-views.png") as views:
        assert views.size == (6 * 192, 192)


def test_reconstruct_several(tmp_path: Path, weights: Path) -> None:
    for name in ("a.png", "b.jpg"):
        photo(tmp_path / name)
    photos = [str(tmp_path / name) for name in ("a.png", "b.jpg")]
    written = reconstruct_command([*photos, "-o", str(tmp_path / "out" / "car.glb"), "--weights", str(weights)])
    assert sorted(path.name for path in written) == ["car-a-views.png", "car-a.glb", "car-b-views.png", "car-b.glb"]
    assert all(path.is_file() for path in written)


def test_the_object_is_found_and_fills_the_square(tmp_path: Path) -> None:
    wide, mask = photo(tmp_path / "a.png")
    square = cut_out(wide, Segmenter.car(), 64, "a photo")
    true = crop(wide, bounding_square(mask[0, 0] > 0.5, 0.88), 64)
    assert square.shape == (1, 3, 64, 64)
    assert (square - true).abs().mean() < 0.05


def test_crops_beyond_the_border_repeat_it() -> None:
    picture = torch.arange(12.0).view(1, 1, 3, 4).expand(1, 3, 3, 4) / 12
    shown = crop(picture, Box(-1, -1, 6), 6)
    assert torch.allclose(shown[0, 0, 0], torch.tensor([0.0, 0, 1, 2, 3, 3]) / 12, atol=1e-6)
    assert torch.allclose(shown[0, 0, :, 0], torch.tensor([0.0, 0, 4, 8, 8, 8]) / 12, atol=1e-6)


BAD = [
    (["{tmp}/absent.jpg", "-o", "{tmp}/a.glb"], "absent.jpg"),
    (["{tmp}/text.png", "-o", "{tmp}/a.glb"], "expected a picture"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb"], "covering 2 %"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.stl"], ".glb or .obj"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb", "--weights", "{tmp}/none.safetensors"], "none.json"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_photos(
    arguments: list[str], message: str, tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (64, 64), (120, 160, 230)).save(tmp_path / "sky.png")
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    if "--weights" not in given:
        given += ["--weights", str(weights)]
    assert cli.main(["reconstruct", *given]) == cli.BAD_INPUT
    assert message in capsys.readouterr().err


def test_wrong_usage_of_reconstruct_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["reconstruct"])
    assert stop.value.code == cli.BAD_INPUT
    assert "PHOTO" in capsys.readouterr().err


def test_configuration_can_be_printed_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.train(["inverse", "--seed=4", "--print_config"])
    assert stop.value.code == 0
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    assert stage_settings("inverse", ["--config", str(tmp_path / "printed.yaml")]).seed == 4
