"""Trains an image GAN: progressively grown StyleGAN2, with all schedules counted in images."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pytorch_lightning.core.optimizer import LightningOptimizer
from safetensors.torch import load as load_tensors
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ganverse.batch import MultiViewBatch
from ganverse.devices import upload
from ganverse.distributed import average_over_processes, processes, rows_of_groups
from ganverse.errors import AT_LEAST_1, POSITIVE, SHARE, GanverseError, check_ranges, quoted
from ganverse.generators.discriminator import Discriminator
from ganverse.generators.style_based import SIDES
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.generators.weights import GeneratorCard, save_generator
from ganverse.io import image_grid, pack_tensors, write_atomically
from ganverse.neural_renderer.training_scenes import fingerprint
from ganverse.random_streams import latents
from ganverse.tasks.base import BaseTask, cosine
from ganverse.training.ema import keep_factor
from ganverse.training.media import Medium
from ganverse.viewpoints.consistency import ConsistencySettings, view_consistency
from ganverse.viewpoints.pose_regressor import PoseRegressor

STATE = "state.safetensors"
_OBJECTS, _VIEWS, _NOISE = 1, 2, 3  # seeds of the sample images
_REGRESSOR = "pose_regressor"
_TABLE = 4  # objects and view codes of a table


@dataclass(frozen=True)
class GrowthStage:
    """Training at one resolution. The last stage lasts until the end of training."""

    resolution: int
    """Image size in pixels."""
    images: int
    """Length of the stage in real images."""
    r1_gamma: float
    """Weight of the R1 penalty."""
    fade_images: int = 20_000
    """Number of images over which the new resolution fades in."""

    def __post_init__(self) -> None:
        check_ranges(self, images=AT_LEAST_1)
        if self.resolution not in SIDES[1:]:
            raise GanverseError(f"expected a stage resolution of 8, 16, ... {SIDES[-1]} px, got {self.resolution}")


DEFAULT_STAGES = (
    GrowthStage(16, 110_000, r1_gamma=0.05, fade_images=0),
    GrowthStage(32, 110_000, r1_gamma=0.1),
    GrowthStage(64, 100_000, r1_gamma=0.3),
)


@dataclass(frozen=True)
class GrowthState:
    """Current position in the schedule; `fade` in (0, 1]."""

    resolution: int
    fade: float
    r1_gamma: float


def growth_at(stages: Sequence[GrowthStage], images_seen: int, batch: int = 0) -> GrowthState:
    """State of the schedule for the batch (of all processes) that ends at images_seen + batch."""
    start = 0
    for index, stage in enumerate(stages):
        if images_seen < start + stage.images or index == len(stages) - 1:
            progress = (images_seen - start + batch) / stage.fade_images if index and stage.fade_images else 1.0
            return GrowthState(stage.resolution, min(progress, 1.0), stage.r1_gamma)
        start += stage.images
    raise GanverseError("expected at least one growth stage, got none; set --model.stages")


@dataclass(frozen=True)
class FakeCodes:
    """Random numbers that determine fake images.

    first, second: two latents per fake. mixed: layers that use the second latent (StyleGAN, section 3.1). noise: one
    plane per convolution, in the order of `StyleGAN2Generator.noise_shapes`.
    """

    first: Float[Tensor, "batch z_dim"]
    second: Float[Tensor, "batch z_dim"]
    mixed: Bool[Tensor, "batch layers"]
    noise: tuple[Float[Tensor, "batch 1 _ _"], ...]


def fake_codes(
    generator: StyleGAN2Generator,
    seed: int,
    indices: Sequence[int],
    *,
    resolution: int,
    mixing_probability: float,
) -> FakeCodes:
    """Codes of the fakes with the given global indices, on the generator's device."""
    layers = 2 * (resolution.bit_length() - 2)
    shapes = generator.noise_shapes[: layers - 1]
    lengths = [generator.z_dim, generator.z_dim, 2, *(height * width for height, width in shapes)]
    numbers = upload(latents(seed, indices, sum(lengths)), generator.start.device)
    first, second, choices, *planes = numbers.to(generator.start).split(lengths, dim=1)
    chance, place = torch.special.ndtr(choices).unbind(dim=1)
    crossover = (1 + (place * (layers - 1)).long()).clamp_max(layers - 1)
    behind = torch.arange(layers, device=crossover.device) >= crossover[:, None]
    mixed = behind & (chance < mixing_probability)[:, None]
    noise = tuple(plane.view(-1, 1, *shape) for plane, shape in zip(planes, shapes, strict=True))
    return FakeCodes(first, second, mixed, noise)


class ImageGAN(BaseTask):
    """Non-saturating GAN with lazy R1 (Karras et al. 2020), on any number of processes.

    Each step uses the real and fake images with the next global indices, one block per process, and averages the
    gradients over the processes: n processes with batch b equal one with batch n * b. The module averages the gradients
    itself, because DDP supports one loss per step and this module has three, each over a part of the networks. Any
    strategy that starts processes works. The generator's running average is a submodule.

    Args:
        architecture: of the generator; the discriminator mirrors it.
        images: real images shown to the discriminator.
        stages: progressive growing. Default: `DEFAULT_STAGES`.
        learning_rate: of Adam, for both networks.
        decay_start: share of the images after which the learning rate follows a cosine to 0.
        r1_interval: steps between two R1 penalties.
        mixing_probability: probability of mixing the styles of two latents.
        average_half_life: half-life of the generator's running average, in images.
        seed: of the fakes.
        start: state.safetensors of an earlier training to continue from; the optimizers start anew.
        trained_on: description of the training data for the card.
        consistency: keeps objects equal under all view codes, measured by a pose regressor. Default: off.
    """

    def __init__(
        self,
        architecture: StyleGAN2Config = StyleGAN2Config(),
        images: int = 320_000,
        stages: tuple[GrowthStage, ...] | None = None,
        learning_rate: float = 2e-3,
        decay_start: float = 0.8,
        r1_interval: int = 16,
        mixing_probability: float = 0.9,
        average_half_life: float = 10_000.0,
        seed: int = 0,
        start: Path | None = None,
        trained_on: str = "procedural car world of ganverse",
        consistency: ConsistencySettings | None = None,
    ) -> None:
        super().__init__(images)
        self.save_settings()
        check_ranges({"seed": seed, "r1_interval": r1_interval}, r1_interval=AT_LEAST_1)
        positive = {"learning_rate": learning_rate, "average_half_life": average_half_life}
        check_ranges(positive, **dict.fromkeys(positive, POSITIVE))
        shares = {"decay_start": decay_start, "mixing_probability": mixing_probability}
        check_ranges(shares, **dict.fromkeys(shares, SHARE))
        self.stages = DEFAULT_STAGES if stages is None else stages
        sides, lowest = [stage.resolution for stage in self.stages], max(8, architecture.first_rgb)
        if stages is not None and not all(lowest <= side <= architecture.resolution for side in sides or [0]):
            raise GanverseError(
                f"expected stages from {lowest} to {architecture.resolution} px, got {quoted(stages)}; correct stages"
            )
        self.automatic_optimization = False
        self.learning_rate, self.decay_start, self.r1_interval = learning_rate, decay_start, r1_interval
        self.mixing_probability, self.average_half_life, self.seed = mixing_probability, average_half_life, seed
        self.trained_on, self.consistency = trained_on, consistency
        # A dictionary keeps the network out of checkpoints and parameters.
        self._frozen = {} if consistency is None else {_REGRESSOR: PoseRegressor.from_pretrained(consistency.regressor)}
        self.generator = StyleGAN2Generator(architecture)
        self.discriminator = Discriminator(architecture.channels, rows_of_groups)
        self.generator_average = copy.deepcopy(self.generator).requires_grad_(False)
        self._lazy: dict[str, Tensor | float] = {"r1": 0.0}  # values that only some steps compute
        if start is not None:
            self._load_state(start)

    def configure_optimizers(self) -> Any:
        """Adam for the generator, and Adam for the discriminator with lazy-regularization correction (section 3.1)."""
        rate, ratio = self.learning_rate, self.r1_interval / (self.r1_interval + 1)
        optimizers = [
            torch.optim.Adam(self.generator.parameters(), rate, betas=(0.0, 0.99), fused=True),
            torch.optim.Adam(self.discriminator.parameters(), rate * ratio, betas=(0.0, 0.99**ratio), fused=True),
        ]
        return optimizers, [self.schedule(optimizer, [self.rate_factor]) for optimizer in optimizers]

    def rate_factor(self, images_seen: int) -> float:
        """Learning-rate factor after a number of images."""
        return cosine((images_seen / self.images - self.decay_start) / max(1 - self.decay_start, 1e-6))

    def training_step(self, batch: Float[Tensor, "batch 3 height width"], batch_idx: int) -> None:
        """One discriminator and one generator update on a batch of real images in [0, 1].

        Fakes are synthesized once: detached for the discriminator's update, then judged again by the updated
        discriminator. Sharing one forward pass would save a sixth of the time at 64 px, but the updates would become
        simultaneous, and the minibatch deviation couples the samples.
        """
        generator_optimizer, discriminator_optimizer = cast(list[LightningOptimizer], self.optimizers())
        images = len(batch) * processes()
        state = growth_at(self.stages, self.images_seen, images)
        fake, w = self._synthesize(self.images_seen + self.global_rank * len(batch), len(batch), state)
        values = self._update_discriminator(discriminator_optimizer, prepare_real(batch, state), fake.detach(), state)
        values["loss/generator"] = self._update_generator(generator_optimizer, fake, w, state, images)
        self.count_images(len(batch))
        self._update_average(images)
        for scheduler in cast(list[Any], self.lr_schedulers()):
            scheduler.step()
        values |= {**self._lazy, "resolution": float(state.resolution), "fade": state.fade}
        self.log_step(values, len(batch))

    def validation_step(self, batch: Float[Tensor, "batch 3 height width"], batch_idx: int) -> None:
        """Discriminator output on held-out images; far below that on training images, it has memorized those."""
        logits = self.discriminator(prepare_real(batch, self.growth), self.growth.fade)
        self.log("val/logit_real", logits.mean(), batch_size=len(batch), sync_dist=True)

    @property
    def compilable(self) -> Sequence[nn.Module]:
        """As in `BaseTask`."""
        return (self.discriminator,)

    @property
    def growth(self) -> GrowthState:
        """Current resolution, fade and R1 weight."""
        return growth_at(self.stages, self.images_seen)

    def _synthesize(
        self, first: int, count: int, state: GrowthState
    ) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch w_dim"]]:
        """Fakes first, first + 1, ... with mixed styles, and their w before mixing.

        A pure function of the weights, the seed and the arguments.
        """
        codes = fake_codes(
            self.generator,
            self.seed,
            range(first, first + count),
            resolution=state.resolution,
            mixing_probability=self.mixing_probability,
        )
        own, other = self.generator.map(torch.cat([codes.first, codes.second])).chunk(2)
        w = torch.where(codes.mixed[:, :, None], other[:, None], own[:, None])
        styles = self.generator.styles(w, state.resolution)
        images = self.generator.synthesize_raw(styles, codes.noise, resolution=state.resolution, fade=state.fade)
        return images, own.detach()

    def _update_discriminator(
        self,
        optimizer: LightningOptimizer,
        real: Float[Tensor, "batch 3 height width"],
        fake: Float[Tensor, "batch 3 height width"],
        state: GrowthState,
    ) -> dict[str, Tensor | float]:
        """Logistic loss on fake and real images, with R1 every r1_interval steps."""
        regularize = self.images_seen // (len(real) * processes()) % self.r1_interval == 0
        optimizer.zero_grad()
        with optimizer.toggle_model(sync_grad=False):
            fake_logits = self.discriminator(fake, state.fade)
            fake_loss = F.softplus(fake_logits).mean()
            self.manual_backward(fake_loss)
            real = real.requires_grad_(regularize)
            # `forward` is not compiled; torch.compile supports no second derivatives
            judge = self.discriminator.forward if regularize else self.discriminator
            real_logits = judge(real, state.fade)
            real_loss = F.softplus(-real_logits).mean()
            total = real_loss
            if regularize:
                penalty = r1_penalty(real_logits, real)
                total = real_loss + 0.5 * state.r1_gamma * self.r1_interval * penalty
                self._lazy["r1"] = penalty.detach()
            self.manual_backward(total)
        _step(optimizer)
        return {
            "loss/discriminator": fake_loss.detach() + real_loss.detach(),
            "logit/real": real_logits.detach().mean(),
            "logit/fake": fake_logits.detach().mean(),
        }

    def _update_generator(
        self,
        optimizer: LightningOptimizer,
        fake: Float[Tensor, "batch 3 height width"],
        w: Float[Tensor, "batch w_dim"],
        state: GrowthState,
        images: int,
    ) -> Tensor:
        """Non-saturating loss through the frozen discriminator, plus view consistency.

        The average of w follows the mean over all processes, so that it stays equal on each.
        """
        optimizer.zero_grad()
        with optimizer.toggle_model(sync_grad=False):
            loss = F.softplus(-self.discriminator(fake, state.fade)).mean()
            self.manual_backward(loss)
            if self.consistency is not None and self.images_seen // images % self.consistency.interval == 0:
                term = self._inconsistency(state)
                self.manual_backward(self.consistency.weight * self.consistency.interval * term)
                self._lazy["loss/consistency"] = term.detach()
        mean = w.mean(dim=0, keepdim=True)
        _step(optimizer, mean)
        self.generator.track_average(mean)
        return loss.detach()

    def _inconsistency(self, state: GrowthState) -> Float[Tensor, ""]:
        """`view_consistency` of a table of random objects and view codes, the same on every process."""
        codes = self._codes(2 * _TABLE, self.seed + 1, self.images_seen)
        objects, views = self.generator.map(codes).chunk(2)
        images = self._mixed(self.generator, objects, views, state).float() * 0.5 + 0.5
        with torch.autocast(self.device.type, enabled=False):
            return view_consistency(self._frozen[_REGRESSOR].to(self.device)(images), _TABLE)

    @torch.no_grad()
    def _update_average(self, images: int) -> None:
        """Exponential moving average with a half-life in images, shorter at the start."""
        keep = keep_factor(images, self.images_seen, self.average_half_life)
        average = get_ema_multi_avg_fn(keep)
        average(list(self.generator_average.parameters()), list(self.generator.parameters()), 0)
        self.generator_average.w_average.copy_(self.generator.w_average)

    def sample_media(self, batch: MultiViewBatch | None) -> Mapping[str, Medium]:
        """`samples` and `mixing` grids of the averaged generator, 8 x 8 images each.

        Mixing: rows are objects, columns are view codes, which replace the first `view_layers` layers.
        """
        zoom = max(1, 64 // self.growth.resolution)
        return {
            "samples": image_grid(self.samples(64), 8, zoom=zoom),
            "mixing": image_grid(self.mixed_samples(8, 8), 8, zoom=zoom),
        }

    def samples(self, count: int) -> Float[Tensor, "count 3 side side"]:
        """Images in [0, 1] of the averaged generator with noise; the same codes on every call."""
        generator, state = self.generator_average, self.growth
        styles = generator.styles(generator.map(self._codes(count, _OBJECTS)), state.resolution)
        noise = generator.noise(count, seed=_NOISE, resolution=state.resolution)
        return _unit(generator.synthesize_raw(styles, noise, resolution=state.resolution, fade=state.fade))

    def mixed_samples(self, rows: int, columns: int) -> Float[Tensor, "cells 3 side side"]:
        """Row-major table of mixed images in [0, 1] without noise: object of the row, view code of the column."""
        generator = self.generator_average
        objects, views = (generator.map(self._codes(n, seed)) for n, seed in ((rows, _OBJECTS), (columns, _VIEWS)))
        return _unit(self._mixed(generator, objects, views, self.growth))

    def _mixed(
        self,
        generator: StyleGAN2Generator,
        objects: Float[Tensor, "rows w_dim"],
        views: Float[Tensor, "columns w_dim"],
        state: GrowthState,
    ) -> Float[Tensor, "cells 3 side side"]:
        content, view = objects.repeat_interleave(len(views), dim=0), views.repeat(len(objects), 1)
        layers = torch.arange(2 * (state.resolution.bit_length() - 2), device=self.device)
        by_view = (layers < generator.view_layers)[None, :, None]
        styles = generator.styles(torch.where(by_view, view[:, None], content[:, None]), state.resolution)
        return generator.synthesize_raw(styles, resolution=state.resolution, fade=state.fade)

    def _codes(self, count: int, seed: int, first: int = 0) -> Float[Tensor, "count z_dim"]:
        numbers = latents(seed, range(first, first + count), self.generator.z_dim)
        return upload(numbers, self.device).to(self.generator.start)

    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of the data and of the pose regressor."""
        return super().fingerprints() | {name: fingerprint(network) for name, network in self._frozen.items()}

    def save_pretrained(self, path: Path) -> GeneratorCard:
        """Writes the averaged generator with its card, and state.safetensors with everything but the optimizers."""
        card = GeneratorCard(
            config=self.generator.config,
            license="Apache-2.0",
            trained_on=self.trained_on,
            seed=self.seed,
            images_seen=self.images_seen,
        )
        written = save_generator(self.generator_average, path, card, half=True)
        state = {**self.state_dict(), "images_seen": torch.tensor(self.images_seen)}
        write_atomically(path.with_name(STATE), pack_tensors(state, half=True))
        return written

    def _load_state(self, path: Path) -> None:
        """Loads the state.safetensors that `save_pretrained` wrote."""
        if not path.is_file():
            raise GanverseError(f"expected the state of an earlier training at {path}, found none; correct start")
        weights = load_tensors(path.read_bytes())
        self.images_seen = int(weights.pop("images_seen"))
        self.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})


def _step(optimizer: LightningOptimizer, *others: Tensor) -> None:
    """Averages the gradients and `others` over the processes, then updates.

    Layers above the current resolution get no gradient on any process, and Adam must not count a step for them.
    """
    if processes() > 1:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        average_over_processes([*(p.grad for p in parameters if p.grad is not None), *others], processes())
    optimizer.step()


def prepare_real(
    images: Float[Tensor, "batch 3 height width"], state: GrowthState
) -> Float[Tensor, "batch 3 side side"]:
    """Converts real images from [0, 1] at full size to [-1, 1] at the current resolution, blurred during a fade."""
    small = F.avg_pool2d(images, images.shape[-1] // state.resolution) * 2.0 - 1.0
    if state.fade < 1.0:
        coarse = F.interpolate(F.avg_pool2d(small, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
        small = torch.lerp(coarse, small, state.fade)
    return small


def r1_penalty(logits: Float[Tensor, " batch"], images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, ""]:
    """Mean squared gradient norm of the logits at real images (Mescheder et al. 2018), differentiable."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def _unit(colors: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 3 side side"]:
    return (colors * 0.5 + 0.5).clamp(0.0, 1.0)
