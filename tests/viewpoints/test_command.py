"""`ganverse views`: where azimuths come from, and what it refuses."""

from __future__ import annotations

import json
from argparse import Namespace
from functools import partial
from pathlib import Path

import pytest

from ganverse import cli
from ganverse.generators.weights import load_generator
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.weights import InverseCard, save_inverse
from ganverse.pretrained import SHIPPED
from ganverse.viewpoints import command
from ganverse.viewpoints.directions import StyleAnalysis, open_views
from ganverse.viewpoints.proposal import ProposalSettings
from ganverse.viewpoints.view_codes import ViewCodes
from tests import pipeline_toys

NETWORK = InverseNetworkConfig(
    resolution=32, subdivisions=1, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
)


def toy(folder: Path, trained_on: str = "horses") -> Path:
    """A random GAN whose card says what it shows."""
    path = pipeline_toys.save_gan(folder)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "trained_on": trained_on}))
    return path


def test_the_pose_regressor_is_not_used_for_other_categories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = toy(tmp_path)
    before = (tmp_path / "toy-views.yaml").read_bytes()
    assert cli.main(["views", str(generator)]) == cli.BAD_INPUT
    assert "expected --azimuths auto" in capsys.readouterr().err
    assert (tmp_path / "toy-views.yaml").read_bytes() == before
    assert cli.main(["views", str(generator), "--azimuths=auto", "--pool=8"]) == cli.BAD_INPUT
    assert "ganverse masks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("trained_on", "cars"), [("Cars", True), ("lsun_car", True), ("scars", False), ("cartoons", False), ("", False)]
)
def test_cards_that_mention_cars(tmp_path: Path, trained_on: str, cars: bool) -> None:
    generator = toy(tmp_path, trained_on)
    given = Namespace(generator=str(generator), azimuths=None)
    card = load_generator(generator)[1]
    assert command._shows_cars(given, card) == cars


def test_azimuths_from_silhouettes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = toy(tmp_path, "cars")
    call = ["views", str(generator), "--azimuths=auto", "--pool=10", "--codes=4", "--device=cpu"]
    assert cli.main(call) == 0
    assert "--front" in capsys.readouterr().err
    views = ViewCodes.load(tmp_path / "toy-views.yaml")
    assert len(views) == 4
    assert list(views.azimuth_degrees) == sorted(views.azimuth_degrees)
    assert set(views.uncertain) <= {code.seed for code in views.codes}
    assert (tmp_path / "toy-views.png").is_file()
    assert cli.main([*call, "--front=999"]) == cli.BAD_INPUT
    assert "got 999" in capsys.readouterr().err


def test_azimuths_from_the_pose_regressor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the embedded GAN, with fewer images and wider bins than the command takes."""
    fewer = partial(ProposalSettings, contents=2, finalists=5, final_contents=4, bin_degrees=90.0)
    monkeypatch.setattr(command, "ProposalSettings", fewer)
    monkeypatch.setattr(command, "StyleAnalysis", partial(StyleAnalysis, samples=200))
    path = tmp_path / "views.yaml"
    call = ["views", "--codes=4", "-o", str(path), "--device=cpu"]
    assert cli.main([*call, "--pool=60"]) == 0
    generator, views = open_views(path, load_generator(SHIPPED / "gan-car.safetensors")[0])
    assert views.azimuth_degrees.tolist() == [0.0, 90.0, 180.0, 270.0]
    assert len(views.view_dims) == sum(generator.style_sizes[1:4])
    assert cli.main([*call, "--pool=3"]) == cli.BAD_INPUT
    assert "try more candidates" in capsys.readouterr().err


def trained(folder: Path, generator: Path, azimuths: list[float]) -> Path:
    path = folder / "inverse.safetensors"
    card = InverseCard("toy", load_generator(generator)[1].sha256, images_seen=0, seed=0)
    save_inverse(InverseGraphicsNetwork(NETWORK), CameraTable(azimuths), path, card)
    return path


def test_azimuths_from_trained_cameras(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator, file = toy(tmp_path), tmp_path / "toy-views.yaml"
    before = ViewCodes.load(file)
    azimuths = [code.azimuth_degrees + 4.2 for code in before.codes]
    azimuths[0], azimuths[3] = -0.2, -88.0
    assert cli.main(["views", str(generator), f"--trained={trained(tmp_path, generator, azimuths)}"]) == 0
    after = ViewCodes.load(file)
    assert [code.seed for code in after.codes] == [code.seed for code in before.codes]
    assert [code.azimuth_degrees for code in after.codes[:5]] == [0.0, 34.0, 64.0, 272.0, 124.0]
    assert after.uncertain == (3,)
    assert "4.2 degrees (median)" in capsys.readouterr().err
    assert (after.generator, after.view_dims) == (before.generator, before.view_dims)


def test_cameras_of_other_codes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator, file = toy(tmp_path), tmp_path / "toy-views.yaml"
    before = file.read_bytes()
    assert (
        cli.main(["views", str(generator), f"--trained={trained(tmp_path, generator, [0.0, 90.0])}"]) == cli.BAD_INPUT
    )
    assert "got 2 cameras" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_its_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["views", "--help"])
    text = capsys.readouterr().out
    for word in ("NAME-views.yaml", "regressor", "auto", "--trained", "ganverse annotate", "--device"):
        assert word in text
