from pathlib import Path

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.random_streams import latents
from ganverse.viewpoints.anchoring import TRIES, anchor_of, content_styles, draws_per_object, view_anchor
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, view_latents
from ganverse.worlds.generator import CarWorldGenerator

WORLD = CarWorldGenerator()
DIMS = (0, 1)
"""Sine and cosine of the azimuth."""


def _azimuths(anchored: bool, objects: int = 200) -> torch.Tensor:
    anchor = view_anchor(WORLD, DIMS, 7) if anchored else None
    draws = draws_per_object(anchor)
    z = latents(1, range(objects * draws), WORLD.z_dim).view(objects, draws, -1)
    return WORLD.cameras(content_styles(WORLD, z, DIMS, anchor)).azimuth


def test_anchored_objects_are_at_home_in_the_anchors_view() -> None:
    wanted = WORLD.cameras(WORLD.styles(WORLD.map(view_latents([7], WORLD.z_dim)))).azimuth
    assert (_azimuths(True) - wanted).cos().mean() > 0.95
    assert (_azimuths(False) - wanted).cos().mean().abs() < 0.2


def test_without_an_anchor_the_first_code_is_taken() -> None:
    z = latents(1, range(6), WORLD.z_dim).view(3, 2, -1)
    assert torch.equal(content_styles(WORLD, z, DIMS, None), WORLD.styles(WORLD.map(z.flatten(0, 1)))[::2])
    assert draws_per_object(None) == 1


def test_the_view_code_file_carries_the_anchor(tmp_path: Path) -> None:
    codes = ViewCodes("car-world", DIMS, (ViewCode(3, 30.0),), anchor=7)
    codes.save(tmp_path / "codes.yaml")
    assert ViewCodes.load(tmp_path / "codes.yaml") == codes
    anchor = anchor_of(WORLD, codes)
    assert anchor is not None
    assert draws_per_object(anchor) == TRIES
    assert anchor_of(WORLD, ViewCodes("car-world", DIMS, codes.codes)) is None
    path = tmp_path / "codes.yaml"
    path.write_text(path.read_text().replace("anchor: 7", "anchor: front"))
    with pytest.raises(GanverseError, match="the anchor"):
        ViewCodes.load(path)
