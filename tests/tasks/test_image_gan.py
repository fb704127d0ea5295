from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F

from ganverse.errors import GanverseError
from ganverse.generators.weights import load_generator
from ganverse.tasks.image_gan import (
    STATE,
    GrowthStage,
    GrowthState,
    ImageGAN,
    fake_codes,
    growth_at,
    prepare_real,
    r1_penalty,
)
from ganverse.viewpoints.consistency import ConsistencySettings
from tests.tasks import gan_toys, toys
from tests.tasks.gan_toys import BATCH


def run(made: ImageGAN, folder: Path, batches: int, **settings: object) -> dict[str, list[float]]:
    """Trains; what was logged, step by step."""
    logged = Logged()
    trainer = toys.trainer(folder, max_steps=2 * batches, limit_val_batches=0, callbacks=[logged], **settings)
    trainer.fit(made, datamodule=gan_toys.images(folder / "images.npy"))
    return logged.values


class Logged(pl.Callback):
    """The numbers of every step."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        for name, value in trainer.callback_metrics.items():
            self.values.setdefault(name, []).append(float(value))


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
    discriminator = gan_toys.module().discriminator
    images = torch.randn(BATCH, 3, side, side, requires_grad=True)
    penalty = r1_penalty(discriminator(images, 0.5), images)
    penalty.backward()
    reached = {n: p.grad for n, p in discriminator.named_parameters() if p.grad is not None and n.endswith("weight")}
    assert "final_conv.weight" in reached
    assert "blocks.0.conv0.weight" in reached
    assert all(gradient.isfinite().all() and gradient.any() for gradient in reached.values())


def test_r1_gradient_equals_finite_differences() -> None:
    made = gan_toys.module().double()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    weight = made.discriminator.final_conv.weight
    (gradient,) = torch.autograd.grad(r1_penalty(made.discriminator(images), images), weight)
    direction, step = torch.randn_like(weight), 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(direction, alpha=sign * step)
        values.append(r1_penalty(made.discriminator(images), images).item())
        with torch.no_grad():
            weight.sub_(direction, alpha=sign * step)
    assert (values[0] - values[1]) / (2 * step) == pytest.approx((gradient * direction).sum().item(), rel=1e-5)


def test_fakes_codes_belong_to_their_global_index() -> None:
    generator = gan_toys.module().generator
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
    codes = fake_codes(gan_toys.module().generator, 0, range(400), resolution=16, mixing_probability=0.75)
    assert codes.mixed.shape == (400, 6)
    assert not codes.mixed[:, 0].any()
    assert (codes.mixed[:, 1:] >= codes.mixed[:, :-1]).all()
    assert codes.mixed.any(dim=1).float().mean().item() == pytest.approx(0.75, abs=0.07)
    lengths = codes.mixed.sum(dim=1)
    counts = lengths[lengths > 0].bincount(minlength=6)[1:] / (lengths > 0).sum()
    torch.testing.assert_close(counts, torch.full((5,), 0.2), atol=0.08, rtol=0)


def test_a_step_changes_what_it_should(tmp_path: Path) -> None:
    made, fresh = gan_toys.module(), gan_toys.module()
    logged = run(made, tmp_path, 1)
    assert made.images_seen == BATCH
    for name, before in fresh.state_dict().items():
        changed = not torch.equal(made.state_dict()[name], before)
        idle = "blocks.2." in name or name.startswith(("discriminator.from_rgb.0", "discriminator.from_rgb.2"))
        assert changed == (not idle and not name.startswith("discriminator.blocks.1")), name
    assert logged["r1"][0] > 0
    assert {"loss/generator", "loss/discriminator", "logit/real", "logit/fake", "resolution", "fade"} <= set(logged)
    assert all(p.requires_grad for p in [*made.generator.parameters(), *made.discriminator.parameters()])


def test_lazy_r1_weighs_as_much_as_r1_in_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the penalty adds to a step's gradient: gamma / 2 times the interval times its own gradient."""
    seen: list[tuple[torch.Tensor, float]] = []

    def step(gamma: float) -> dict[str, torch.Tensor]:
        made = gan_toys.module(stages=(GrowthStage(8, 1000, gamma, fade_images=0),), r1_interval=4)
        judge = made.discriminator.forward
        monkeypatch.setattr(made.discriminator, "forward", lambda *inputs: seen.append(inputs) or judge(*inputs))
        run(made, tmp_path, 1)
        return {name: p.grad for name, p in made.discriminator.named_parameters() if p.grad is not None}

    plain, lazy = step(0.0), step(0.5)
    (_, (real, fade), _), discriminator = seen[:3], gan_toys.module().discriminator
    r1_penalty(discriminator(real, fade), real).backward()
    own = {name: p.grad for name, p in discriminator.named_parameters() if p.grad is not None}
    assert len(own) > 5
    for name, without in plain.items():
        added = 0.5 / 2 * 4 * own.get(name, torch.zeros(()))
        torch.testing.assert_close(lazy[name] - without, added.expand_as(without), rtol=1e-3, atol=1e-5)


def test_adam_is_corrected_for_lazy_regularization() -> None:
    """Section 3.1 of Karras et al. 2020: c = k / (k + 1) for the rate, and as the betas' exponent."""
    made = gan_toys.module(r1_interval=16)
    generator, discriminator = (optimizer.defaults for optimizer in made.configure_optimizers()[0])
    assert (generator["lr"], generator["betas"]) == (made.learning_rate, (0.0, 0.99))
    assert discriminator["lr"] == pytest.approx(made.learning_rate * 16 / 17)
    assert discriminator["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))


def test_average_follows_the_generator(tmp_path: Path) -> None:
    made, fresh = gan_toys.module(), gan_toys.module()
    run(made, tmp_path, 1)
    keep = 0.5 ** (BATCH / (0.05 * BATCH))
    expected = torch.lerp(made.generator.start, fresh.generator.start, keep)
    torch.testing.assert_close(made.generator_average.start, expected)
    assert torch.equal(made.generator_average.w_average, made.generator.w_average)


def test_training_ends_after_the_images_at_its_last_resolution(tmp_path: Path) -> None:
    made = gan_toys.module(images=4 * BATCH)
    logged = run(made, tmp_path, 100)
    assert made.images_seen == 4 * BATCH
    assert logged["resolution"] == [8, 8, 16, 16]
    assert logged["fade"] == pytest.approx([1, 1, 1 / 3, 2 / 3])
    media = made.sample_media(None)
    assert {name: picture.shape for name, picture in media.items()} == {
        "samples": (3, 8 * 64, 8 * 64),
        "mixing": (3, 8 * 64, 8 * 64),
    }


def test_the_rate_falls_at_the_end() -> None:
    made = gan_toys.module(images=100, decay_start=0.6)
    assert [made.rate_factor(seen) for seen in (0, 60)] == [1, 1]
    assert made.rate_factor(80) == pytest.approx(0.5)
    assert made.rate_factor(100) == pytest.approx(0)


def test_bfloat16_trains(tmp_path: Path) -> None:
    half, full = gan_toys.module(), gan_toys.module()
    losses = [
        run(made, tmp_path, 3, precision=precision)["loss/discriminator"]
        for made, precision in ((half, "bf16-mixed"), (full, "32-true"))
    ]
    assert all(tensor.isfinite().all() for tensor in half.state_dict().values())
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]


def test_weights_are_written_and_training_goes_on_from_them(tmp_path: Path) -> None:
    made = gan_toys.module()
    run(made, tmp_path, 3)
    card = made.save_pretrained(tmp_path / "generator.safetensors")
    assert (card.images_seen, card.config) == (3 * BATCH, gan_toys.ARCHITECTURE)
    generator, _ = load_generator(tmp_path / "generator.safetensors")
    torch.testing.assert_close(generator.start, made.generator_average.start, rtol=1e-3, atol=1e-3)
    begun = gan_toys.module(start=tmp_path / STATE)
    assert begun.images_seen == 3 * BATCH
    for name, value in made.discriminator.state_dict().items():
        torch.testing.assert_close(begun.discriminator.state_dict()[name], value, rtol=1e-3, atol=1e-3)
    with pytest.raises(GanverseError, match="expected the state of an earlier training"):
        gan_toys.module(start=tmp_path / "absent.safetensors")


def test_validation_uses_images_that_are_never_trained_on(tmp_path: Path) -> None:
    made, data = gan_toys.module(), gan_toys.images(tmp_path / "images.npy")
    data.validation_images = 6
    (found,) = toys.trainer(tmp_path).validate(made, datamodule=data, verbose=False)
    assert set(found) == {"val/logit_real"}


@pytest.mark.parametrize("wrong", [{"learning_rate": 0.0}, {"r1_interval": 0}, {"decay_start": 2.0}], ids=str)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(GanverseError, match="expected"):
        gan_toys.module(**wrong)


def test_consistency_separates_view_and_object_and_leaves_no_trace_in_checkpoints(tmp_path: Path) -> None:
    # The 16 px toy gets a reading of the pose regressor like any image; the tables are the same in both trainings.
    values = {}
    for weight in (0.0, 3.0):
        made = gan_toys.module(consistency=ConsistencySettings(weight=weight, interval=1))
        values[weight] = run(made, tmp_path, 24)["loss/consistency"]
        assert not [name for name in made.state_dict() if "regressor" in name]
        assert "pose_regressor" in made.fingerprints()
    assert values[0.0][0] == values[3.0][0]
    assert sum(values[3.0][12:]) < sum(values[0.0][12:]) - 12  # on average a factor of e or more


def test_stages_below_the_first_colors_are_refused() -> None:
    with pytest.raises(GanverseError, match="expected stages from 16 to 16 px"):
        ImageGAN(replace(gan_toys.ARCHITECTURE, first_rgb=16), stages=gan_toys.STAGES)
