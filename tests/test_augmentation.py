"""Augmented samples: what changes and what does not, and that cameras follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from ganverse.augmentation import AugmentationSettings, augmented, place
from ganverse.batch import MultiViewBatch
from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import sphere_template
from ganverse.inverse.losses import silhouette_iou
from ganverse.rendering import render
from tests.inverse.tiny import tiny_batch

NO_AUGMENTATION = AugmentationSettings(background=0, color=0, mirror=False, crop=0)


def masked(batch: MultiViewBatch) -> torch.Tensor:
    return batch.images * (batch.masks > 0.99)


def test_nothing_is_nothing() -> None:
    batch = tiny_batch()
    same = augmented(batch, NO_AUGMENTATION)
    torch.testing.assert_close(same.images, batch.images)
    torch.testing.assert_close(same.masks, batch.masks)
    assert same.placement.unique(dim=0).squeeze(0)[0].tolist() == [1, 1, 0, 0]


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    batch, settings = tiny_batch(objects=4), AugmentationSettings(noise=1)
    whole = augmented(batch, settings)
    rows = torch.tensor([3, 1])
    fields = ("images", "masks", "view_ids", "sample_index", "styles")
    part = augmented(replace(batch, **{name: getattr(batch, name)[rows] for name in fields}), settings)
    torch.testing.assert_close(part.images, whole.images[rows])
    torch.testing.assert_close(part.placement, whole.placement[rows])
    elsewhere = replace(batch, sample_index=batch.sample_index + 100)
    for other in (augmented(batch, replace(settings, seed=1)), augmented(elsewhere, settings)):
        assert (other.images - whole.images).abs().mean(dim=(1, 2, 3, 4)).min() > 0.02


def test_half_precision_training_changes_no_sample() -> None:
    batch, settings = tiny_batch(), AugmentationSettings()
    plain = augmented(batch, settings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augmented(batch, settings).images, plain.images)
    double = augmented(replace(batch, images=batch.images.double(), masks=batch.masks.double()), settings)
    torch.testing.assert_close(double.images.float(), plain.images, atol=1e-3, rtol=0)


def test_other_backgrounds_leave_the_object() -> None:
    batch = tiny_batch(objects=8)
    changed = augmented(batch, replace(NO_AUGMENTATION, background=1))
    torch.testing.assert_close(masked(changed), masked(batch))
    behind = (batch.masks < 0.01).expand_as(batch.images)
    assert (changed.images - batch.images)[behind].abs().mean() > 0.1
    assert 0 <= changed.images.min() <= changed.images.max() <= 1
    half = augmented(tiny_batch(objects=64), replace(NO_AUGMENTATION, background=0.5)).images[:, :, :, 0, 0]
    assert 0.35 < float((half == 0.5).all(dim=2).float().mean()) < 0.65, "the corners of the others are still gray"


def test_all_views_of_an_object_change_color_alike() -> None:
    batch = tiny_batch(objects=8)
    batch = replace(batch, images=torch.rand(8, 1, 3, 1, 1).expand_as(batch.images).contiguous())
    changed = augmented(batch, replace(NO_AUGMENTATION, color=1)).images
    torch.testing.assert_close(changed, changed[:, :1, :, :1, :1].expand_as(changed))
    assert (changed - batch.images).abs().amax(dim=(1, 2, 3, 4)).min() > 0.01
    change = changed[:, 0, :, 0, 0] / batch.images[:, 0, :, 0, 0]
    assert change.std(dim=0).min() > 0.05, "each object in its own way"


def test_cameras_follow_mirror_and_crop() -> None:
    """A symmetric object under the cameras of the changed pictures looks like the changed pictures."""
    cameras = Cameras.from_degrees([30.0, 100.0, 200.0, 310.0], [15.0] * 4, [4.0] * 4)
    cameras = replace(cameras, offset=torch.tensor([[0.1, 0.05]]).expand(4, 2))
    sphere = sphere_template(3)
    axes = torch.tensor([0.4, 0.3, 0.9]) * (1 + 0.3 * sphere.vertices[..., 2:])  # thicker in front
    mesh = sphere.with_vertices(sphere.vertices * axes).repeat_interleave(4)
    texture = torch.full((4, 3, 8, 8), 0.5)

    def silhouettes(seen: Cameras) -> torch.Tensor:
        return (render(mesh, texture, seen, size=64, backend="reference").face_index >= 0)[:, None].float()

    placement = torch.tensor([[-1.0, 1.0, 0, 0], [1, 1.1, 0.1, -0.05], [-1, 0.9, -0.1, 0.1], [-1, 1.1, 0, 0]])
    moved = (place(silhouettes(cameras), placement) > 0.5).float()
    agreement = silhouette_iou(silhouettes(cameras.placed(placement)), moved)
    assert agreement[0] == 1, "a mirror image is exact"
    assert agreement.min() > 0.95
    assert silhouette_iou(silhouettes(cameras), moved).max() < 0.9


def test_objects_are_mirrored_as_a_whole_and_views_cropped_one_by_one() -> None:
    placement = augmented(tiny_batch(objects=32), AugmentationSettings(crop=0.2)).placement
    assert placement[..., 0].sum(dim=1).unique().tolist() == [-2, 2]
    assert placement[:, 0, 1:].sub(placement[:, 1, 1:]).abs().max() > 0.1
    assert placement[..., 2:].abs().max() <= 0.2
    assert placement[..., 1].log().abs().max() <= 0.2


@pytest.mark.parametrize("wrong", [{"background": 1.1}, {"color": -1}, {"crop": 1.0}, {"noise": -0.1}, {"seed": -1}])
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(GanverseError, match=r"^expected \w+ to be (from 0 to|at least 0)"):
        AugmentationSettings(**wrong)
