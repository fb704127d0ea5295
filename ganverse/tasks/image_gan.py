"""Trains an image GAN: StyleGAN2, grown progressively, everything counted in images."""

import copy
from dataclasses import dataclass
from typing import cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ganverse.distributed import average_gradients, average_over_processes, processes, rows_of_groups
from ganverse.errors import GanverseError
from ganverse.generators.discriminator import Discriminator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.tasks.image_gan_codes import fake_codes
from ganverse.training.ema import keep_factor


@dataclass(frozen=True)
class GrowthStage:
    """Training at one resolution for `images` real images; the last stage goes on until the run ends."""

    resolution: int
    images: int
    r1_gamma: float
    fade_images: int = 20_000


DEFAULT_STAGES = (
    GrowthStage(16, 110_000, r1_gamma=0.05, fade_images=0),
    GrowthStage(32, 110_000, r1_gamma=0.1),
    GrowthStage(64, 100_000, r1_gamma=0.3),
)


@dataclass(frozen=True)
class ImageGANSettings:
    """Hyper-parameters of the game; numbers of images count real images shown to the discriminator.

    batch: images per step and process; with a multiple of 4 the minibatch deviation needs nothing of other processes.
    r1_interval: steps between two regularized ones. average_half_life: in images, of the generator's running average.
    """

    stages: tuple[GrowthStage, ...] = DEFAULT_STAGES
    batch: int = 32
    learning_rate: float = 2e-3
    r1_interval: int = 16
    mixing_probability: float = 0.9
    average_half_life: float = 10_000.0
    seed: int = 0


@dataclass(frozen=True)
class GrowthState:
    """Where a run stands in its schedule; `fade` in (0, 1]."""

    resolution: int
    fade: float
    r1_gamma: float


def growth_at(stages: tuple[GrowthStage, ...], images_seen: int, batch: int) -> GrowthState:
    """The schedule for the batch (of all processes) that ends at images_seen + batch."""
    start = 0
    for index, stage in enumerate(stages):
        if images_seen < start + stage.images or index == len(stages) - 1:
            progress = (images_seen - start + batch) / stage.fade_images if index and stage.fade_images else 1.0
            return GrowthState(stage.resolution, min(progress, 1.0), stage.r1_gamma)
        start += stage.images
    raise GanverseError("Expected at least one growth stage, got none; give the run a schedule.")


class ImageGANTask(pl.LightningModule):
    """Non-saturating GAN with lazy R1 (Karras et al. 2020), on any number of processes.

    Every step's real and fake images are those with the next global indices, a block for each process, and gradients
    are averaged over the processes: n processes with batch b train like one with batch n * b. The task averages the
    gradients itself, since DDP follows one loss per step and here are three, each over a part of the networks; any
    strategy that starts processes will do.

    The running average of the generator is a sub-module of its own: Lightning's averaging callback averages the whole
    module (with the discriminator and the image counter) and leaves the average in place of the trained weights.
    """

    images_seen: Tensor

    def __init__(self, architecture: StyleGAN2Config, settings: ImageGANSettings) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.settings = settings
        self.generator = StyleGAN2Generator(architecture)
        self.discriminator = Discriminator(architecture.channels, rows_of_groups)
        self.generator_average = copy.deepcopy(self.generator).requires_grad_(False)
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.long))
        self._penalty = torch.zeros(())

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the generator, then Adam for the discriminator corrected for lazy regularization (section 3.1)."""
        rate, ratio = self.settings.learning_rate, self.settings.r1_interval / (self.settings.r1_interval + 1)
        return [
            torch.optim.Adam(self.generator.parameters(), rate, betas=(0.0, 0.99), fused=True),
            torch.optim.Adam(self.discriminator.parameters(), rate * ratio, betas=(0.0, 0.99**ratio), fused=True),
        ]

    def growth(self) -> GrowthState:
        """Resolution, fade and R1 weight of the next step."""
        return growth_at(self.settings.stages, int(self.images_seen), self.settings.batch * processes())

    def training_step(self, batch: Float[Tensor, "batch 3 height width"], batch_index: int) -> None:
        """One discriminator and one generator update on one batch of real images in [0, 1].

        The fakes are painted once: detached for the discriminator, then judged again by the updated discriminator. One
        judgement for both updates, whose gradients differ by a factor per sample, would save a sixth of the time at 64
        px, but it plays another game: simultaneous updates, and the minibatch deviation couples the samples.
        """
        generator_optimizer, discriminator_optimizer = cast(list[LightningOptimizer], self.optimizers())
        state = self.growth()
        fake = self._paint(int(self.images_seen) + self.global_rank * len(batch), len(batch), state)
        report = self._update_discriminator(discriminator_optimizer, prepare_real(batch, state), fake.detach(), state)
        report["loss/generator"] = self._update_generator(generator_optimizer, fake, state)
        images = len(batch) * processes()
        self.images_seen += images
        self._update_average(images)
        self.log_dict({**report, "r1": self._penalty}, batch_size=len(batch))
        self.log_dict({"resolution": float(state.resolution), "fade": state.fade}, batch_size=len(batch))

    def loss_terms(self, batch: Float[Tensor, "batch 3 height width"], first: int) -> dict[str, Tensor]:
        """The terms of both players' losses by name, with the weights as they are; r1 in every step.

        batch: real images with the global numbers `first`, `first` + 1, ..., as the fakes have them.
        """
        state = self.growth()
        fake, real = self._paint(first, len(batch), state), prepare_real(batch, state).requires_grad_()
        logits = self.discriminator(real, state.fade)
        return {
            "discriminator, fakes": F.softplus(self.discriminator(fake.detach(), state.fade)).mean(),
            "discriminator, reals": F.softplus(-logits).mean(),
            "discriminator, r1": r1_penalty(logits, real),
            "generator": F.softplus(-self.discriminator(fake, state.fade)).mean(),
        }

    def _paint(self, first: int, count: int, state: GrowthState) -> Float[Tensor, "batch 3 height width"]:
        """Fakes first, first + 1, ... with mixed styles; a pure function of the weights, the seed and these numbers."""
        codes = fake_codes(
            self.generator,
            self.settings.seed,
            range(first, first + count),
            resolution=state.resolution,
            mixing_probability=self.settings.mixing_probability,
        )
        own, other = self.generator.map(torch.cat([codes.first, codes.second])).chunk(2)
        self._track_average(own)
        w = torch.where(codes.mixed[:, :, None], other[:, None], own[:, None])
        styles = self.generator.styles(w, state.resolution)
        return self.generator.paint(styles, codes.noise, resolution=state.resolution, fade=state.fade)

    def _track_average(self, w: Float[Tensor, "batch w_dim"]) -> None:
        """The average of w follows the mean over all processes, so that it stays the same on each."""
        mean = w.detach().mean(dim=0, keepdim=True)
        if processes() > 1:
            average_over_processes([mean], processes())
        self.generator.track_average(mean)

    def _update_discriminator(
        self,
        optimizer: LightningOptimizer,
        real: Float[Tensor, "batch 3 height width"],
        fake: Float[Tensor, "batch 3 height width"],
        state: GrowthState,
    ) -> dict[str, Tensor]:
        """Logistic loss on fakes and reals, R1 on every r1_interval-th step."""
        steps = int(self.images_seen) // (self.settings.batch * processes())
        regularize = steps % self.settings.r1_interval == 0
        optimizer.zero_grad()
        with optimizer.toggle_model(sync_grad=False):
            fake_logits = self.discriminator(fake, state.fade)
            fake_loss = F.softplus(fake_logits).mean()
            self.manual_backward(fake_loss)
            real = real.requires_grad_(regularize)
            real_logits = self.discriminator(real, state.fade)
            real_loss = F.softplus(-real_logits).mean()
            total = real_loss
            if regularize:
                penalty = r1_penalty(real_logits, real)
                total = real_loss + 0.5 * state.r1_gamma * self.settings.r1_interval * penalty
                self._penalty = penalty.detach()
            self.manual_backward(total)
        _step(optimizer)
        return {
            "loss/discriminator": fake_loss.detach() + real_loss.detach(),
            "logit/real": real_logits.detach().mean(),
            "logit/fake": fake_logits.detach().mean(),
        }

    def _update_generator(
        self, optimizer: LightningOptimizer, fake: Float[Tensor, "batch 3 height width"], state: GrowthState
    ) -> Tensor:
        """Non-saturating loss through the discriminator, whose own gradients are not computed."""
        optimizer.zero_grad()
        with optimizer.toggle_model(sync_grad=False):
            loss = F.softplus(-self.discriminator(fake, state.fade)).mean()
            self.manual_backward(loss)
        _step(optimizer)
        return loss.detach()

    @torch.no_grad()
    def _update_average(self, images: int) -> None:
        """Exponential average with a half-life in images, shorter in the beginning."""
        keep = keep_factor(images, int(self.images_seen), self.settings.average_half_life)
        average = get_ema_multi_avg_fn(keep)
        average(list(self.generator_average.parameters()), list(self.generator.parameters()), 0)
        self.generator_average.w_average.copy_(self.generator.w_average)


def _step(optimizer: LightningOptimizer) -> None:
    """Averages the gradients over the processes, then updates; what the present resolution leaves out has none."""
    if processes() > 1:
        average_gradients([p for group in optimizer.param_groups for p in group["params"]], processes())
    optimizer.step()


def prepare_real(
    images: Float[Tensor, "batch 3 height width"], state: GrowthState
) -> Float[Tensor, "batch 3 side side"]:
    """Real images from [0, 1] at full size to [-1, 1] at the current resolution, blurred as far as the fade asks."""
    small = F.avg_pool2d(images, images.shape[-1] // state.resolution) * 2.0 - 1.0
    if state.fade < 1.0:
        coarse = F.interpolate(F.avg_pool2d(small, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
        small = torch.lerp(coarse, small, state.fade)
    return small


def r1_penalty(logits: Float[Tensor, " batch"], images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, ""]:
    """Mean squared norm of the gradient of the logits at real images (Mescheder et al. 2018), differentiable."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
