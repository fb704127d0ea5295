from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganverse.tasks.disentangle_swaps import GROUP, Place, partners, swap
from tests.neural_renderer.toys import toy_cameras, toy_scenes


@given(scenes=st.integers(1, 23), seed=st.integers(0, 99))
def test_partners_are_others_of_the_same_group(scenes: int, seed: int) -> None:
    chance = torch.rand(scenes, generator=torch.Generator().manual_seed(seed))
    own = torch.arange(scenes)
    other = partners(own, scenes, chance)
    assert torch.equal(other // GROUP, own // GROUP)
    assert other.max() < scenes
    alone = own[-1:] if scenes % GROUP == 1 else own[:0]
    assert (other == own).nonzero()[:, 0].tolist() == alone.tolist()


def test_every_partner_is_equally_likely() -> None:
    chance = (torch.arange(300) + 0.5) / 300
    assert partners(torch.full((300,), 6), 8, chance).bincount().tolist() == [0, 0, 0, 0, 100, 100, 0, 100]


@pytest.mark.parametrize("world", [2, 4, 8])
def test_a_split_step_swaps_like_a_whole_one(world: int) -> None:
    scenes, chance, table = toy_scenes(8), torch.rand(8, 4), toy_cameras(5)
    whole = swap(scenes, table, chance, Place(8))
    for rank in range(world):
        own = slice(rank * 8 // world, (rank + 1) * 8 // world)

        def gather(values: torch.Tensor, own: slice = own) -> torch.Tensor:
            return next(all_ for all_ in (scenes.vertices, scenes.texture) if torch.equal(all_[own], values))

        part = swap(scenes[own], table, chance[own], Place(8 // world, rank, world, gather))
        assert torch.equal(part.scenes.vertices, whole.scenes.vertices[own])
        assert torch.equal(part.scenes.texture, whole.scenes.texture[own])
        assert torch.equal(part.scenes.cameras.azimuth, whole.scenes.cameras.azimuth[own])
        assert torch.equal(part.kept, whole.kept[own])
