"""Hidden sides: no background on them, and the mirror image of what the photo shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganverse.geometry.cameras import Cameras
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.reconstruction.photos import Photo, masked_object
from ganverse.reconstruction.reconstructor import ReconstructedObject, Reconstructor
from ganverse.reconstruction.texture import carry_on, mirror_hidden, predict
from tests.reconstruction.toys import NETWORK, car, save_mask, save_photo

BLUE, GREEN = (torch.tensor(color).view(1, 3, 1, 1) for color in ([0.0, 0.0, 1.0], [0.0, 1.0, 0.0]))


@pytest.fixture
def network() -> InverseGraphicsNetwork:
    torch.manual_seed(0)
    return InverseGraphicsNetwork(NETWORK)


@pytest.mark.parametrize("thickness", [1, 2, 9])
def test_colors_go_on_over_the_background(thickness: int) -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[:, :, 10 : 10 + thickness, 4:20] = 1
    filled = carry_on(mask * BLUE + (1 - mask) * GREEN, mask)
    torch.testing.assert_close(filled, BLUE.expand_as(filled), atol=1e-3, rtol=0)
    picture = torch.rand(1, 3, 32, 32)
    kept = carry_on(picture, mask) == picture
    assert int(kept.all(dim=1).sum()) == max(0, thickness - 2) * 14, "the inside stays"


def test_a_texture_copies_no_background(network: InverseGraphicsNetwork) -> None:
    _, mask = car()
    found = masked_object(Photo("a blue car on grass", mask * BLUE + (1 - mask) * GREEN), mask)
    with torch.no_grad():
        plain = network(found.picture(32))
    seen = predict(network, found)
    assert torch.equal(seen.vertices, plain.vertices)
    # what is decoded is gray, so green without red comes from the background
    copied = [float((one.texture[:, 1] - one.texture[:, 0]).max()) for one in (plain, seen)]
    assert copied[0] > 0.1
    assert copied[1] < 0.02


def test_the_hidden_side_is_the_visible_one_mirrored(network: InverseGraphicsNetwork) -> None:
    with torch.no_grad():
        seen = network(torch.rand(1, 3, 32, 32), Cameras.from_degrees([90.0], [0.0], [4.0]))
    texture = BLUE.expand(1, 3, 16, 16).clone()
    texture[:, :, :8] = GREEN
    seen = replace(seen, texture=texture)

    def sides(one: object) -> list[torch.Tensor]:
        """Blue minus green, from the object's left and right side."""
        shown = ReconstructedObject(network, masked_object(Photo("", car()[0]), car()[1]), one).seen_from([90, 270], 32)
        return list((shown[:, 2] - shown[:, 1]).flatten(1).mean(dim=1))

    left, right = sides(seen)
    assert left * right < 0, "painted differently"
    left_after, right_after = sides(mirror_hidden(network, seen))
    assert left_after == pytest.approx(float(left), rel=0.2)
    assert right_after == pytest.approx(float(left), rel=0.2)
    turned = replace(seen, camera=Cameras.from_degrees([270.0], [0.0], [4.0]))
    assert sides(mirror_hidden(network, turned))[0] == pytest.approx(float(right), rel=0.2)


def test_both_sides_are_equal_unless_it_is_switched_off(network: InverseGraphicsNetwork, tmp_path: Path) -> None:
    photo, mask = save_photo(tmp_path / "a.png"), save_mask(tmp_path / "mask.png")
    textures = [Reconstructor(network, mirror_hidden=on)(photo, mask=mask).texture for on in (True, False)]
    torch.testing.assert_close(textures[0], textures[0].flip(1))
    assert (textures[1] - textures[1].flip(1)).abs().max() > 2e-3
