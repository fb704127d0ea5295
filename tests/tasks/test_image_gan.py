from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganverse.data.world_images import CachedImages
from ganverse.errors import GanverseError
from ganverse.tasks.image_gan import GrowthStage, GrowthState, ImageGANTask, growth_at, prepare_real, r1_penalty
from ganverse.tasks.image_gan_codes import fake_codes
from ganverse.training.devices import TrainerSettings
from ganverse.training.fit import StageRun, fit
from ganverse.training.metrics_log import read_metrics
from tests.tasks.gan_toys import BATCH, differences, toy_images, toy_task

SETTINGS = TrainerSettings(accelerator="cpu", precision="32-true", log_every=1, progress="none", threads=1)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return toy_images(tmp_path / "images.npy")


def run(task: ImageGANTask, images: Path, folder: Path, count: int, settings: TrainerSettings = SETTINGS) -> None:
    assert fit(task, CachedImages(images, BATCH), StageRun(folder, "gan", count), settings)


def test_schedule() -> None:
    stages = (
        GrowthStage(8, 100, 0.1, fade_images=0),
        GrowthStage(16, 100, 0.2, fade_images=40),
        GrowthStage(32, 9, 0.3),
    )
    assert growth_at(stages, 0, 10) == GrowthState(8, 1.0, 0.1)
    assert growth_at(stages, 99, 10) == GrowthState(8, 1.0, 0.1)
    assert growth_at(stages, 100, 10) == GrowthState(16, 0.25, 0.2)
    assert growth_at(stages, 130, 10) == GrowthState(16, 1.0, 0.2)
    assert growth_at(stages, 199, 10) == GrowthState(16, 1.0, 0.2)
    assert growth_at(stages, 10**6, 10) == GrowthState(32, 1.0, 0.3)
    with pytest.raises(GanverseError, match="at least one growth stage"):
        growth_at((), 0, 10)


def test_real_images_follow_the_fade() -> None:
    images = torch.rand(2, 3, 16, 16)
    sharp, coarse = (prepare_real(images, GrowthState(side, 1.0, 0.0)) for side in (16, 8))
    torch.testing.assert_close(sharp, images * 2 - 1)
    torch.testing.assert_close(coarse, F.interpolate(images, size=8, mode="area") * 2 - 1)
    half = prepare_real(images, GrowthState(16, 0.5, 0.0))
    blurred = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
    torch.testing.assert_close(half, (sharp + blurred) / 2)


def test_r1_of_a_linear_discriminator_is_the_square_of_its_weights() -> None:
    weights = torch.randn(3 * 4 * 4, requires_grad=True)
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    penalty = r1_penalty(images.flatten(1) @ weights, images)
    assert penalty.item() == pytest.approx(weights.square().sum().item(), rel=1e-5)
    penalty.backward()
    torch.testing.assert_close(weights.grad, 2 * weights)


@pytest.mark.parametrize("side", [8, 16])
def test_r1_reaches_every_weight_of_the_discriminator(side: int) -> None:
    discriminator = toy_task().discriminator
    images = torch.randn(BATCH, 3, side, side, requires_grad=True)
    penalty = r1_penalty(discriminator(images, 0.5), images)
    penalty.backward()
    reached = {n: p.grad for n, p in discriminator.named_parameters() if p.grad is not None and n.endswith("weight")}
    assert "final_conv.weight" in reached
    assert "blocks.0.conv0.weight" in reached
    assert all(gradient.isfinite().all() and gradient.any() for gradient in reached.values())


def test_r1_gradient_equals_finite_differences() -> None:
    task = toy_task().double()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    weight = task.discriminator.final_conv.weight
    (gradient,) = torch.autograd.grad(r1_penalty(task.discriminator(images), images), weight)
    direction, step = torch.randn_like(weight), 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(direction, alpha=sign * step)
        values.append(r1_penalty(task.discriminator(images), images).item())
        with torch.no_grad():
            weight.sub_(direction, alpha=sign * step)
    assert (values[0] - values[1]) / (2 * step) == pytest.approx((gradient * direction).sum().item(), rel=1e-5)


def test_fakes_codes_belong_to_their_global_index() -> None:
    generator = toy_task().generator
    options = {"resolution": 8, "mixing_probability": 0.5}
    together = fake_codes(generator, 3, range(200), **options)
    alone = fake_codes(generator, 3, [150], **options)
    assert torch.equal(alone.first[0], together.first[150])
    assert torch.equal(alone.second[0], together.second[150])
    assert torch.equal(alone.mixed[0], together.mixed[150])
    assert [tuple(plane.shape) for plane in together.noise] == [(200, 1, 4, 4)] * 2 + [(200, 1, 8, 8)]
    assert all(torch.equal(a[0], b[150]) for a, b in zip(alone.noise, together.noise, strict=True))
    numbers = torch.cat([together.first, together.second, *(plane.flatten(1) for plane in together.noise)], dim=1)
    assert numbers.unique().numel() > 0.99 * numbers.numel(), "no number is used twice"


def test_mixing_takes_the_first_layers_from_the_first_code() -> None:
    codes = fake_codes(toy_task().generator, 0, range(400), resolution=16, mixing_probability=0.75)
    assert codes.mixed.shape == (400, 6)
    assert not codes.mixed[:, 0].any()
    assert (codes.mixed[:, 1:] >= codes.mixed[:, :-1]).all()
    assert codes.mixed.any(dim=1).float().mean().item() == pytest.approx(0.75, abs=0.07)
    lengths = codes.mixed.sum(dim=1)
    counts = lengths[lengths > 0].bincount(minlength=6)[1:] / (lengths > 0).sum()
    torch.testing.assert_close(counts, torch.full((5,), 0.2), atol=0.08, rtol=0)


def test_a_step_changes_what_it_should(images: Path, tmp_path: Path) -> None:
    task, fresh = toy_task(), toy_task()
    run(task, images, tmp_path / "run", BATCH)
    assert int(task.images_seen) == BATCH
    for name, before in fresh.state_dict().items():
        changed = not torch.equal(task.state_dict()[name], before)
        idle = "blocks.2." in name or name.startswith(("discriminator.from_rgb.0", "discriminator.from_rgb.2"))
        assert changed == (not idle and not name.startswith("discriminator.blocks.1")), name
    (line,) = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert line["r1"] > 0
    assert {"loss/generator", "loss/discriminator", "logit/real", "logit/fake", "resolution", "fade"} <= set(line)
    assert all(
        parameter.requires_grad for parameter in [*task.generator.parameters(), *task.discriminator.parameters()]
    )


def test_average_follows_the_generator(images: Path, tmp_path: Path) -> None:
    task, fresh = toy_task(), toy_task()
    run(task, images, tmp_path / "run", BATCH)
    keep = 0.5 ** (BATCH / (0.05 * BATCH))
    expected = torch.lerp(task.generator.start, fresh.generator.start, keep)
    torch.testing.assert_close(task.generator_average.start, expected)
    assert torch.equal(task.generator_average.w_average, task.generator.w_average)


def test_resumed_training_equals_an_uninterrupted_one_across_a_stage_change(images: Path, tmp_path: Path) -> None:
    straight = toy_task()
    run(straight, images, tmp_path / "straight", 5 * BATCH)
    run(toy_task(), images, tmp_path / "parts", BATCH)
    run(toy_task(), images, tmp_path / "parts", 3 * BATCH)
    resumed = toy_task()
    nn.init.zeros_(resumed.generator.start)
    run(resumed, images, tmp_path / "parts", 5 * BATCH)
    assert straight.growth().resolution == 16
    assert [name for name, gap in differences(straight.state_dict(), resumed.state_dict()) if gap > 0] == []
    lines = [
        [{**line, "seconds": 0} for line in read_metrics(tmp_path / n / "metrics.jsonl")] for n in ("straight", "parts")
    ]
    same = [[line["loss/generator"] for line in run] for run in lines]
    assert same[0] == same[1]


def test_bfloat16_trains(images: Path, tmp_path: Path) -> None:
    half, full = toy_task(), toy_task()
    settings = TrainerSettings(accelerator="cpu", precision="bf16-mixed", log_every=1, progress="none", threads=1)
    run(half, images, tmp_path / "half", 3 * BATCH, settings)
    run(full, images, tmp_path / "full", 3 * BATCH)
    assert all(tensor.isfinite().all() for tensor in half.state_dict().values())
    losses = [
        [line["loss/discriminator"] for line in read_metrics(tmp_path / name / "metrics.jsonl")]
        for name in ("half", "full")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]
