"""View codes of the car world: all round, labeled truly, the same every time."""

from __future__ import annotations

import torch

from ganverse.data.world_views import world_view_codes
from ganverse.viewpoints.view_codes import view_styles
from ganverse.worlds.generator import CarWorldGenerator


def test_codes_go_all_round_and_their_labels_are_true() -> None:
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
