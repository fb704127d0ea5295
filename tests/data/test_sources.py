"""Where samples come from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganverse.data.sources import SourceSettings, open_source, world_view_codes
from ganverse.errors import GanverseError
from ganverse.masks.segmenter import Segmenter
from ganverse.viewpoints.view_codes import ViewCodes, view_styles
from ganverse.worlds.generator import CarWorldGenerator
from tests.tasks import toys


def test_view_codes_lie_beside_the_generator(files: toys.Files) -> None:
    source = open_source(SourceSettings(str(files.generator)))
    assert source.codes == ViewCodes.load(files.generator.with_name("toy-views.yaml"))
    assert isinstance(source.masker, Segmenter)
    assert source.name == "toy"


def test_codes_of_another_generator_are_refused(files: toys.Files, tmp_path: Path) -> None:
    other = toys.save_files(tmp_path, seed=9)
    settings = SourceSettings(str(files.generator), view_codes=other.generator.with_name("toy-views.yaml"))
    with pytest.raises(GanverseError, match="to hold view codes of toy"):
        open_source(settings)


def test_the_car_world_knows_its_masks() -> None:
    source = open_source(SourceSettings("car-world", resolution=16, world_views=12))
    assert (source.masker, source.sha256, source.generator.resolution) == (None, "", 16)
    assert open_source(SourceSettings("car-world", masks="segmenter", world_views=12)).masker is not None
    with pytest.raises(GanverseError, match="only car-world has"):
        open_source(SourceSettings(masks="truth"))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(GanverseError, match="together"):
        SourceSettings(renderer=Path("a.safetensors"))
    rerendered = SourceSettings("car-world", renderer=Path("a.safetensors"), reader=Path("b.safetensors"))
    with pytest.raises(GanverseError, match="car world"):
        open_source(rerendered)
    with pytest.raises(GanverseError, match="multiple of 12"):
        SourceSettings(world_views=7)
    with pytest.raises(GanverseError, match="resolution to be at least 1"):
        SourceSettings(resolution=0)


def test_codes_of_the_world_go_all_round_and_their_labels_are_true() -> None:
    world = CarWorldGenerator(16)
    codes = world_view_codes(world, 24)
    assert len(codes) == 24
    assert codes == world_view_codes(world, 24)
    assert sorted(set(codes.azimuth_degrees.tolist())) == [30.0 * k for k in range(12)]
    views = view_styles(world, codes)
    true = torch.atan2(views[:, 0], views[:, 1]).rad2deg()
    off = (true - codes.azimuth_degrees + 180).remainder(360) - 180
    assert off.abs().max() <= 15
    assert off.abs().mean() > 3
    assert views[:, 2].std() > 0.1
