from pathlib import Path

import pytest

from ganverse import cli
from ganverse.generators.weights import load_generator
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.weights import InverseCard, save_inverse
from ganverse.viewpoints.annotation import UnfinishedViews
from tests import pipeline_toys

NETWORK = InverseNetworkConfig(
    resolution=32, subdivisions=1, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
)


def trained(folder: Path, generator: Path, azimuths: list[float]) -> Path:
    path = folder / "inverse.safetensors"
    card = InverseCard("toy", load_generator(generator)[1].sha256, images_seen=0, seed=0)
    save_inverse(InverseGraphicsNetwork(NETWORK), CameraTable(azimuths), path, card)
    return path


def test_trained_cameras_correct_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator, file = pipeline_toys.save_gan(tmp_path), tmp_path / "toy-views.yaml"
    before = UnfinishedViews.load(file)
    azimuths = [code.azimuth_degrees + 4.2 for code in before.codes]
    azimuths[0], azimuths[3] = -0.2, -88.0
    command = ["views", "--azimuths=trained", f"--generator={generator}"]
    assert cli.main([*command, f"--trained={trained(tmp_path, generator, azimuths)}"]) == 0
    after = UnfinishedViews.load(file)
    assert [code.seed for code in after.codes] == [code.seed for code in before.codes]
    assert [code.azimuth_degrees for code in after.codes[:5]] == [0.0, 34.0, 64.0, 272.0, 124.0]
    assert after.unsure == (3,)
    assert "4.2 degrees in the median" in capsys.readouterr().err
    assert (after.generator, after.view_dims) == (before.generator, before.view_dims)


def test_cameras_of_other_codes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator, file = pipeline_toys.save_gan(tmp_path), tmp_path / "toy-views.yaml"
    before = file.read_bytes()
    command = ["views", "--azimuths=trained", f"--generator={generator}"]
    assert cli.main(command) == cli.BAD_INPUT
    assert "--trained RUN/inverse/inverse.safetensors" in capsys.readouterr().err
    assert cli.main([*command, f"--trained={trained(tmp_path, generator, [0.0, 90.0])}"]) == cli.BAD_INPUT
    assert "got 2 cameras" in capsys.readouterr().err
    assert file.read_bytes() == before
