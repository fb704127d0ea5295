from dataclasses import replace

import pytest
import torch

from ganverse.data.sampling import MultiViewSampler, SamplingSettings, random_numbers
from ganverse.errors import GanverseError
from ganverse.generators.stylegan2 import StyleGAN2Generator
from ganverse.masks.filtering import FilterCounts, MaskFilter, filter_masks
from ganverse.masks.masker import Masks
from ganverse.random_streams import latents
from ganverse.viewpoints.view_codes import ViewCodes, view_styles
from ganverse.worlds.generator import CarWorldGenerator

INDICES = torch.arange(20, 41)


def _with(sampler: MultiViewSampler, generator: StyleGAN2Generator, **changes: object) -> MultiViewSampler:
    return MultiViewSampler(generator, sampler.codes, sampler.masker, replace(sampler.settings, **changes))


def test_a_sample_does_not_depend_on_its_batch(sampler: MultiViewSampler) -> None:
    together = sampler.draw(INDICES)
    assert together.counts.images > together.batch.view_ids.numel(), "the test needs rejected attempts"
    for parts in ([INDICES[:5], INDICES[5:]], [INDICES.flip(0)], list(INDICES.split(1))):
        for part in parts:
            alone = sampler.draw(part).batch
            rows = part - INDICES[0]
            for name in ("images", "masks", "styles", "view_ids", "sample_index"):
                assert torch.equal(getattr(alone, name), getattr(together.batch, name)[rows]), name


def test_global_random_state_has_no_say(sampler: MultiViewSampler) -> None:
    first = sampler.draw(INDICES[:3]).batch
    torch.manual_seed(1234)
    assert torch.equal(sampler.draw(INDICES[:3]).batch.images, first.images)


def test_another_seed_gives_other_samples(sampler: MultiViewSampler, generator: StyleGAN2Generator) -> None:
    other = _with(sampler, generator, seed=6)
    assert other.fingerprint != sampler.fingerprint
    assert not torch.equal(other.draw(INDICES[:2]).batch.images, sampler.draw(INDICES[:2]).batch.images)


def test_views_share_the_content_and_carry_their_code(sampler: MultiViewSampler, generator: StyleGAN2Generator) -> None:
    batch = sampler.draw(INDICES).batch
    dims = list(sampler.codes.view_dims)
    rest = [d for d in range(batch.styles.shape[2]) if d not in dims]
    assert torch.equal(batch.styles[:, 0][:, rest], batch.styles[:, 1][:, rest])
    assert torch.equal(batch.styles[:, :, dims], view_styles(generator, sampler.codes)[batch.view_ids])
    assert (batch.view_ids[:, 0] != batch.view_ids[:, 1]).all()


def test_first_attempts_use_the_streams_latents(sampler: MultiViewSampler) -> None:
    drawn = torch.from_numpy(random_numbers(5, 77, 0).standard_normal(8))
    assert torch.allclose(drawn.float(), latents(5, [77], 8)[0])


def test_kept_samples_pass_the_filter_and_are_on_8_bit_steps(sampler: MultiViewSampler) -> None:
    drawn = sampler.draw(INDICES)
    batch = drawn.batch
    small = batch.masks.mean(dim=(2, 3, 4)) < 0.1
    assert not small[~drawn.forced].any()
    assert torch.equal((batch.images * 255).round() / 255, batch.images)
    assert torch.equal((batch.masks * 255).round() / 255, batch.masks)


def test_counts_and_dropped_pictures_tell_what_was_rejected(sampler: MultiViewSampler) -> None:
    drawn = sampler.draw(INDICES)
    assert drawn.counts.several_objects > 0
    assert drawn.counts.images - drawn.counts.kept >= 5


def test_hopeless_samples_are_kept_at_their_best_and_counted(
    sampler: MultiViewSampler, generator: StyleGAN2Generator
) -> None:
    strict = _with(sampler, generator, filter=MaskFilter(min_area=0.9), attempts=3)
    drawn = strict.draw(INDICES[:4])
    assert drawn.forced.all()
    assert drawn.counts.images == 4 * 2 * 3
    single = [_with(sampler, generator, filter=MaskFilter(min_area=0.9), attempts=a) for a in (1, 2, 3)]
    areas = [s.draw(INDICES[:4]).batch.masks.mean(dim=(2, 3, 4)).amin(dim=1) for s in single]
    assert (areas[1] >= areas[0]).all()
    assert (areas[2] > areas[0]).any()


def test_replacing_a_reject_keeps_its_views(sampler: MultiViewSampler, generator: StyleGAN2Generator) -> None:
    once = _with(sampler, generator, attempts=1).draw(INDICES).batch
    often = sampler.draw(INDICES).batch
    assert torch.equal(once.view_ids, often.view_ids)
    assert not torch.equal(once.styles, often.styles)


def test_every_view_code_is_used_equally_often(sampler: MultiViewSampler) -> None:
    ids = torch.tensor([sampler.view_ids(i) for i in range(3000)])
    counts = ids.flatten().bincount(minlength=12).float()
    assert (counts / counts.mean() - 1).abs().max() < 0.15


def test_more_than_two_views_are_distinct(sampler: MultiViewSampler, generator: StyleGAN2Generator) -> None:
    batch = _with(sampler, generator, views=5).draw(INDICES[:3]).batch
    assert batch.images.shape[:2] == (3, 5)
    assert all(len(set(row)) == 5 for row in batch.view_ids.tolist())


def test_training_the_original_does_not_change_the_data(
    sampler: MultiViewSampler, generator: StyleGAN2Generator
) -> None:
    before = sampler.draw(INDICES[:2]).batch.images
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(1.0)
    assert torch.equal(sampler.draw(INDICES[:2]).batch.images, before)
    assert all(p.requires_grad for p in generator.parameters())


def test_impossible_settings_are_explained(sampler: MultiViewSampler, generator: StyleGAN2Generator) -> None:
    with pytest.raises(GanverseError, match="masker"):
        MultiViewSampler(generator, sampler.codes)
    with pytest.raises(GanverseError, match="at least 13 view codes, got 12"):
        _with(sampler, generator, views=13)
    with pytest.raises(GanverseError, match="to be at least 1"):
        SamplingSettings(block=0)


def test_the_car_world_gives_its_own_truth(codes: ViewCodes) -> None:
    world = CarWorldGenerator(32)
    sampler = MultiViewSampler(world, replace(codes, view_dims=(0, 1, 2, 3)), None, SamplingSettings(block=8))
    batch = sampler.draw(torch.arange(6)).batch
    _, masks, _ = world.render_truth(batch.styles.flatten(0, 1))
    assert (batch.masks.flatten(0, 1) - masks).abs().max() <= 0.5 / 255 + 1e-6
    paint = world.cars(batch.styles[:, 0]).body_color
    assert torch.equal(paint, world.cars(batch.styles[:, 1]).body_color)


def test_the_filter_agrees_with_the_counts() -> None:
    masks = Masks(torch.ones(3, 1, 4, 4), torch.tensor([1, 1, 2]))
    assert filter_masks(masks).counts == FilterCounts(kept=2, several_objects=1)
