import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.stylegan2 import StyleGAN2Generator
from ganverse.viewpoints.pose_regressor import PoseReading, PoseRegressor
from ganverse.viewpoints.proposal import (
    Candidates,
    ProposalSettings,
    Reader,
    choose_codes,
    circular_mean_and_spread,
    images_of_views,
    object_changes,
    propose_view_codes,
    shortlist,
)
from ganverse.viewpoints.view_codes import layer_dims, view_latents
from tests.pipeline_toys import GAN


class Compass:
    """A generator whose picture shows its azimuth in two channels; view code 3's objects never agree."""

    resolution = 4
    image_size = (4, 4)
    z_dim = 4
    style_sizes = (2, 2)
    view_layers = 1
    noise_shapes: tuple[tuple[int, int], ...] = ()

    def map(self, z: Float[Tensor, "batch z_dim"]) -> Float[Tensor, "batch w_dim"]:
        return z

    def styles(
        self, w: Float[Tensor, "batch w_dim"] | Float[Tensor, "batch layers w_dim"]
    ) -> Float[Tensor, "batch styles"]:
        return w

    def synthesize(
        self, styles: Float[Tensor, "batch styles"], noise: Sequence[Float[Tensor, "#batch 1 _ _"]] | None = None
    ) -> Float[Tensor, "batch 3 height width"]:
        disagreement = styles[:, 0].abs() * styles[:, 2]
        azimuth = torch.atan2(styles[:, 1], styles[:, 0]) + 0.2 * disagreement
        picture = torch.stack([azimuth.cos(), azimuth.sin(), styles[:, 3]], dim=1)
        return picture[:, :, None, None].expand(-1, -1, 4, 4)


def compass_reader(images: Float[Tensor, "batch 3 height width"]) -> PoseReading:
    azimuth, nothing = torch.atan2(images[:, 1, 0, 0], images[:, 0, 0, 0]), torch.zeros(len(images), 6)
    return PoseReading(azimuth, nothing[:, 0], images[:, 2, 0, 0], nothing, nothing[:, :3])


SETTINGS = ProposalSettings(candidates=200, contents=6, final_contents=12)


def test_proposed_codes_look_all_round_and_are_annotated_right() -> None:
    codes = propose_view_codes(Compass(), "compass", (0, 1), compass_reader, SETTINGS)
    assert len(codes) == 24
    assert set(codes.azimuth_degrees.tolist()) == set(map(float, range(0, 360, 30)))
    for code in codes.codes:
        z = view_latents([code.seed], 4)[0]
        truth = math.degrees(math.atan2(z[1], z[0]))
        assert abs((truth - code.azimuth_degrees + 180) % 360 - 180) < 20
    assert codes == propose_view_codes(Compass(), "compass", (0, 1), compass_reader, replace(SETTINGS, batch=7))


def test_the_best_of_every_bin_are_looked_at_again() -> None:
    azimuth = torch.arange(0, 360, 30).repeat_interleave(3).float().deg2rad()
    spread = torch.tensor([0.3, 0.1, 0.2]).repeat(12)
    found = shortlist(Candidates(tuple(range(36)), azimuth, spread, torch.zeros(36)), ProposalSettings(finalists=2))
    assert found == tuple(seed for seed in range(36) if seed % 3 != 0)


def test_the_most_consistent_code_of_a_bin_is_taken() -> None:
    azimuth = torch.arange(0, 360, 30).repeat_interleave(3).float().deg2rad()
    spread = torch.tensor([0.3, 0.1, 0.2]).repeat(12)
    codes = choose_codes(Candidates(tuple(range(36)), azimuth, spread, torch.zeros(36)), ProposalSettings())
    assert [code.seed % 3 for code in codes] == [1, 2] * 12


def test_a_code_that_changes_its_objects_is_passed_over() -> None:
    azimuth = torch.arange(0, 360, 30).repeat_interleave(3).float().deg2rad()
    spread, change = torch.tensor([0.1, 0.15, 0.2]).repeat(12), torch.tensor([0.9, 0.1, 0.1]).repeat(12)
    candidates = Candidates(tuple(range(36)), azimuth, spread, change)
    assert [code.seed % 3 for code in choose_codes(candidates, ProposalSettings())] == [1, 2] * 12
    indifferent = ProposalSettings(identity_degrees=0.0)
    assert [code.seed % 3 for code in choose_codes(candidates, indifferent)] == [0, 1] * 12


def test_changes_of_objects_are_shares_of_all_variance() -> None:
    torch.manual_seed(0)
    shape = torch.randn(1, 300, 2).repeat(6, 1, 1)
    assert object_changes([shape], views=6).max() < 1e-6
    shape[4] = torch.randn(300, 2)
    changes = object_changes([shape], views=6)
    assert changes[4] > 1.0
    assert changes[[0, 1, 2, 3, 5]].max() < 0.1
    assert object_changes([], views=3).tolist() == [0, 0, 0]


def test_every_aspect_of_an_object_counts_alike() -> None:
    torch.manual_seed(0)
    steady, lost = torch.randn(1, 300, 6).repeat(4, 1, 1), torch.randn(1, 300, 3).repeat(4, 1, 1)
    lost[2] = torch.randn(300, 3)
    alone, beside = object_changes([lost], views=4), object_changes([steady, lost], views=4)
    assert torch.allclose(beside, alone / 2, atol=1e-6)


def test_a_gap_in_the_views_is_an_error_that_names_it() -> None:
    azimuth = torch.arange(0, 330, 30).repeat_interleave(3).float().deg2rad()
    candidates = Candidates(tuple(range(33)), azimuth, torch.full((33,), 0.1), torch.zeros(33))
    with pytest.raises(GanverseError, match="none at 330 degrees"):
        choose_codes(candidates, ProposalSettings())


def test_circular_statistics_across_the_wrap() -> None:
    angles = torch.tensor([[350.0, 10.0], [90.0, 90.0]]).deg2rad()
    mean, spread = circular_mean_and_spread(angles)
    assert torch.allclose(mean.cos(), torch.tensor([1.0, 0.0]), atol=1e-3)
    assert spread.rad2deg()[0] == pytest.approx(10.0, abs=0.1)
    assert spread.rad2deg()[1] < 0.1


def test_the_pose_regressor_is_a_reader() -> None:
    read: Reader = PoseRegressor.from_pretrained()
    reading = read(torch.rand(3, 3, 64, 64))
    assert reading.azimuth.shape == (3,)
    assert [aspect.shape for aspect in reading.aspects] == [(3, 1), (3, 6), (3, 3)]
    assert torch.allclose(reading.aspects[1].sum(dim=1), torch.ones(3))


def test_images_are_the_same_however_they_are_batched() -> None:
    generator = StyleGAN2Generator(GAN).eval()
    dims = layer_dims(generator.style_sizes, 2)
    images = images_of_views(generator, dims, [0, 1, 2, 3], 2, batch=3)
    assert images.shape == (4, 2, 3, GAN.resolution, GAN.resolution)
    assert torch.allclose(images_of_views(generator, dims, [2], 2)[0], images[2], atol=1e-5)


@pytest.mark.parametrize("values", [{"count": 11}, {"bin_degrees": 0.0}, {"bin_degrees": 50.0}, {"candidates": 0}])
def test_impossible_settings(values: dict[str, Any]) -> None:
    with pytest.raises(GanverseError, match="expected"):
        ProposalSettings(**values)
