"""Trains an image GAN: StyleGAN2, grown progressively, everything counted in images."""

import copy
import time
from dataclasses import dataclass, field

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ganverse.errors import GanverseError
from ganverse.generators.discriminator import Discriminator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator


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
    """Hyper-parameters of the game; numbers of images count real images shown to the discriminator."""

    stages: tuple[GrowthStage, ...] = field(default=DEFAULT_STAGES)
    batch: int = 32
    learning_rate: float = 2e-3
    r1_interval: int = 16
    mixing_probability: float = 0.9
    average_half_life: int = 10_000
    log_interval: int = 50
    seed: int = 0


@dataclass(frozen=True)
class GrowthState:
    """Where a run stands in its schedule; `fade` in (0, 1]."""

    resolution: int
    fade: float
    r1_gamma: float


def growth_at(stages: tuple[GrowthStage, ...], images_seen: int, batch: int) -> GrowthState:
    """The schedule for the batch that ends at images_seen + batch."""
    start = 0
    for index, stage in enumerate(stages):
        if images_seen < start + stage.images or index == len(stages) - 1:
            progress = (images_seen - start + batch) / stage.fade_images if index and stage.fade_images else 1.0
            return GrowthState(stage.resolution, min(progress, 1.0), stage.r1_gamma)
        start += stage.images
    raise GanverseError("Expected at least one growth stage, got none; give the run a schedule.")


class ImageGANTask(pl.LightningModule):
    """Non-saturating GAN with lazy R1 (Karras et al. 2020), single process.

    The running average of the generator is a sub-module of its own: Lightning's averaging callback averages the whole
    module (with the discriminator and the image counter) and leaves the average in place of the trained weights.
    """

    images_seen: Tensor

    def __init__(self, architecture: StyleGAN2Config, settings: ImageGANSettings) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.settings = settings
        self.generator = StyleGAN2Generator(architecture)
        self.discriminator = Discriminator(architecture.channels)
        self.generator_average = copy.deepcopy(self.generator).requires_grad_(False)
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.long))
        self._clock = (0, 0.0)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the generator, then Adam for the discriminator corrected for lazy regularisation (section 3.1)."""
        rate, ratio = self.settings.learning_rate, self.settings.r1_interval / (self.settings.r1_interval + 1)
        return [
            torch.optim.Adam(self.generator.parameters(), rate, betas=(0.0, 0.99), fused=True),
            torch.optim.Adam(self.discriminator.parameters(), rate * ratio, betas=(0.0, 0.99**ratio), fused=True),
        ]

    def growth(self) -> GrowthState:
        """Resolution, fade and R1 weight of the next batch."""
        return growth_at(self.settings.stages, int(self.images_seen), self.settings.batch)

    def training_step(self, batch: Float[Tensor, "batch 3 height width"], batch_index: int) -> None:
        """One discriminator and one generator update on one batch of real images in [0, 1].

        The fakes are painted once: detached for the discriminator, then judged again by the updated discriminator.
        """
        generator_optimizer, discriminator_optimizer = self.optimizers()
        state = self.growth()
        real = prepare_real(batch, state)
        fake = self._paint(len(batch), state)
        report = self._update_discriminator(discriminator_optimizer, real, fake.detach(), state)
        report["loss/generator"] = self._update_generator(generator_optimizer, fake, state)
        self.images_seen += len(batch)
        self._update_average(len(batch))
        self._report(report, state)

    def _paint(self, batch: int, state: GrowthState) -> Float[Tensor, "batch 3 height width"]:
        """Fakes with mixed styles; a pure function of the weights, the seed and the images seen."""
        seed = int(
            np.random.SeedSequence((self.settings.seed, int(self.images_seen))).generate_state(1, np.uint64)[0] >> 1
        )
        source = torch.Generator(self.device).manual_seed(seed)
        layers = 2 * (state.resolution.bit_length() - 2)
        z = torch.randn(2 * batch, self.generator.z_dim, generator=source, device=self.device)
        first, second = self.generator.map(z).unsqueeze(1).chunk(2)
        self.generator.track_average(first.squeeze(1))
        crossover = torch.randint(1, layers, (batch, 1, 1), generator=source, device=self.device)
        unmixed = torch.rand(batch, 1, 1, generator=source, device=self.device) >= self.settings.mixing_probability
        own = (torch.arange(layers, device=self.device)[None, :, None] < crossover) | unmixed
        styles = self.generator.styles(torch.where(own, first, second), state.resolution)
        noise = self.generator.noise(batch, seed=seed + 1, resolution=state.resolution)
        return self.generator.paint(styles, noise, resolution=state.resolution, fade=state.fade)

    def _update_discriminator(
        self,
        optimizer: pl.core.optimizer.LightningOptimizer,
        real: Float[Tensor, "batch 3 height width"],
        fake: Float[Tensor, "batch 3 height width"],
        state: GrowthState,
    ) -> dict[str, Tensor]:
        """Logistic loss on fakes and reals, R1 on every r1_interval-th batch."""
        optimizer.zero_grad()
        fake_logits = self.discriminator(fake, state.fade)
        fake_loss = F.softplus(fake_logits).mean()
        self.manual_backward(fake_loss)
        regularise = int(self.images_seen) // self.settings.batch % self.settings.r1_interval == 0
        real = real.requires_grad_(regularise)
        real_logits = self.discriminator(real, state.fade)
        real_loss = F.softplus(-real_logits).mean()
        report = {"loss/discriminator": fake_loss.detach() + real_loss.detach()}
        if regularise:
            penalty = r1_penalty(real_logits, real)
            real_loss = real_loss + 0.5 * state.r1_gamma * self.settings.r1_interval * penalty
            report["r1"] = penalty.detach()
        self.manual_backward(real_loss)
        optimizer.step()
        return {**report, "logit/real": real_logits.detach().mean(), "logit/fake": fake_logits.detach().mean()}

    def _update_generator(
        self,
        optimizer: pl.core.optimizer.LightningOptimizer,
        fake: Float[Tensor, "batch 3 height width"],
        state: GrowthState,
    ) -> Tensor:
        """Non-saturating loss through the frozen discriminator."""
        optimizer.zero_grad()
        self.discriminator.requires_grad_(False)
        loss = F.softplus(-self.discriminator(fake, state.fade)).mean()
        self.manual_backward(loss)
        self.discriminator.requires_grad_(True)
        optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def _update_average(self, batch: int) -> None:
        """Exponential average with a half-life in images, shorter in the beginning."""
        half_life = min(float(self.settings.average_half_life), 0.05 * float(self.images_seen))
        average = get_ema_multi_avg_fn(0.5 ** (batch / half_life))
        average(list(self.generator_average.parameters()), list(self.generator.parameters()), 0)
        self.generator_average.w_average.copy_(self.generator.w_average)

    def _report(self, report: dict[str, Tensor], state: GrowthState) -> None:
        images = int(self.images_seen)
        if images // self.settings.batch % self.settings.log_interval:
            return
        since, moment = self._clock
        now = time.monotonic()
        rate = (images - since) / (now - moment)
        self._clock = (images, now)
        progress = {
            "images": float(images),
            "resolution": float(state.resolution),
            "fade": state.fade,
            "img_per_s": rate,
        }
        if self._trainer is not None:
            self.log_dict({**report, **progress}, batch_size=self.settings.batch)

    def on_train_start(self) -> None:
        """Starts the clock of the rate."""
        self._clock = (int(self.images_seen), time.monotonic())


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
