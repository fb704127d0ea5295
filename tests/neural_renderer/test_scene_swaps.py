from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganverse.neural_renderer.scene_swaps import GROUP, ProcessSlice, partners, swap
from ganverse.neural_renderer.training_scenes import TrainingScene
from tests.neural_renderer.toys import toy_cameras, toy_scenes


def toy_scene(count: int) -> TrainingScene:
    scenes = toy_scenes(count)
    pictures, masks = torch.rand_like(scenes.background), torch.rand_like(scenes.background[:, :1])
    return TrainingScene(scenes, torch.rand(count, 3), pictures, masks, scenes.background, masks, torch.arange(count))


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
    scene, chance, table = toy_scene(8), torch.rand(8, 5), toy_cameras(5)
    scenes, whole = scene.inputs, swap(scene, table, chance, ProcessSlice(8))
    for rank in range(world):
        own = slice(rank * 8 // world, (rank + 1) * 8 // world)

        def gather(values: torch.Tensor, own: slice = own) -> torch.Tensor:
            both = torch.cat([scenes.vertices.flatten(1), scenes.texture.flatten(1)], dim=1)
            assert torch.equal(both[own], values)
            return both

        part = swap(scene[own], table, chance[own], ProcessSlice(8 // world, rank, world, gather))
        assert torch.equal(part.scenes.vertices, whole.scenes.vertices[own])
        assert torch.equal(part.scenes.texture, whole.scenes.texture[own])
        assert torch.equal(part.scenes.cameras.azimuth, whole.scenes.cameras.azimuth[own])
        assert torch.equal(part.kept, whole.kept[own])
        assert torch.equal(part.background, whole.background[own])


def test_every_second_background_is_kept_and_the_others_are_mirrored() -> None:
    scene = toy_scene(4)
    found = swap(scene, toy_cameras(5), torch.rand(4, 5), ProcessSlice(4))
    assert torch.equal(found.scenes.background[::2], scene.inputs.background[::2])
    assert torch.equal(found.scenes.background[1::2], scene.inputs.background[1::2].flip(-1))
    assert torch.equal(found.visible[1::2], scene.visible[1::2].flip(-1))
    assert torch.equal(found.background, found.scenes.background)
