from dataclasses import replace

import pytest
import torch

from ganverse.batch import MultiViewBatch
from ganverse.evaluation.held_out import compare_views, held_out_samples, held_out_scores, rerender
from ganverse.inverse.perceptual import PerceptualDistance
from tests.evaluation.tiny_models import TINY_SETTINGS, tiny_inverse, tiny_world


@pytest.fixture(scope="module")
def perceptual() -> PerceptualDistance:
    return PerceptualDistance(stages=1)


def test_a_perfect_prediction_has_no_errors(perceptual: PerceptualDistance) -> None:
    batch = held_out_samples(tiny_world(), 0, 2, views=2).draw(torch.arange(2))
    hard = (batch.masks > 0.5).float()
    values = compare_views(batch, batch.images * hard, hard, perceptual)
    assert torch.equal(values["iou"], torch.ones(2, 2))
    assert torch.equal(values["psnr"], torch.full((2, 2), 60.0))
    assert all(values[name].abs().max() < 1e-6 for name in ("l1", "lpips"))


def test_views_are_rendered_by_their_own_cameras() -> None:
    model = tiny_inverse()
    images, masks = torch.rand(1, 2, 3, 32, 32), torch.ones(1, 2, 1, 32, 32)
    # View 0 looks from the front, where a car is narrow; view 3 from the side, where it is long.
    batch = MultiViewBatch(images, masks, torch.tensor([[0, 3]]), torch.tensor([0]), torch.zeros(1, 2, 1))
    rgb, covered = rerender(model, batch)
    widths = covered[0, :, 0].amax(dim=1).sum(dim=1)
    assert widths[1] > 1.5 * widths[0]
    assert (rgb * (1 - covered)).abs().max() == 0


def test_what_is_reconstructed_is_the_first_view() -> None:
    model, images = tiny_inverse(), torch.rand(1, 2, 3, 32, 32)
    ids = torch.tensor([[0, 3]])
    batch = MultiViewBatch(images, torch.ones(1, 2, 1, 32, 32), ids, torch.tensor([0]), torch.zeros(1, 2, 1))
    rgb, _ = rerender(model, batch)
    for view, matters in ((0, True), (1, False)):
        other = images.clone()
        other[:, view] = 1 - other[:, view]
        changed = (rerender(model, replace(batch, images=other))[0] - rgb).abs().amax(dim=(0, 2, 3, 4)) > 1e-4
        assert changed.tolist() == [matters, matters]


def test_scores_cover_input_and_unseen_views(perceptual: PerceptualDistance) -> None:
    samples = held_out_samples(tiny_world(), TINY_SETTINGS.seed, 2, views=3)
    scores = held_out_scores(samples, tiny_inverse(), perceptual, TINY_SETTINGS)
    assert {"iou_input", "iou_unseen", "l1_masked", "lpips_input", "lpips_unseen"} <= set(scores)
    assert all(score.count == 2 for score in scores.values())
    assert 0 < scores["iou_input"].value < 1
