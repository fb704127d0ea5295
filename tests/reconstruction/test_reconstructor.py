"""What a reconstructed object offers: views from all sides, files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.reconstruction.photos import Photo, masked_object
from ganverse.reconstruction.reconstructor import ReconstructedObject, Reconstructor
from tests.reconstruction.toys import NETWORK, car, save_photo, save_weights


@pytest.fixture(scope="module")
def ellipsoid() -> ReconstructedObject:
    """An ellipsoid of a car's size, whose front half is red."""
    network = InverseGraphicsNetwork(NETWORK)
    with torch.no_grad():
        predicted = network(torch.rand(1, 3, 32, 32))
    predicted.texture[:] = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    predicted.texture[:, :, :, 8:] = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    return ReconstructedObject(network, masked_object(Photo("a photo", car()[0]), car()[1]), predicted)


def test_a_turn_starts_in_front_and_shows_all_sides(ellipsoid: ReconstructedObject) -> None:
    frames = ellipsoid.seen_from([45.0 * turn for turn in range(8)], 32)
    red, blue = ((frames[:, a] - frames[:, b]).clamp_min(0).mean(dim=(1, 2)) for a, b in ((0, 2), (2, 0)))
    assert red[0] > 5 * blue[0]
    assert blue[4] > 5 * red[4]
    widths = (frames.amin(dim=1) < 0.5).any(dim=1).sum(dim=1)
    assert widths[2] > 1.5 * widths[0]
    assert frames[:, :, 0].min() == 1  # white above


def test_files(ellipsoid: ReconstructedObject, tmp_path: Path) -> None:
    ellipsoid.save_turntable(tmp_path / "turn.gif", frames=8, size=32)
    with Image.open(tmp_path / "turn.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (8, (32, 32), 0)
    assert ellipsoid.views(48).shape == (3, 48, 6 * 48)


def test_a_run_as_source(tmp_path: Path) -> None:
    save_weights(tmp_path / "inverse" / "inverse.safetensors")
    done = Reconstructor.from_pretrained(tmp_path)(save_photo(tmp_path / "a.png"))
    done.save(tmp_path / "car.usdz")
    assert (tmp_path / "car.usdz").stat().st_size > 1000
    assert 0 < done.silhouette_iou() < 1
    assert done.texture.shape == (3, 16, 16)
