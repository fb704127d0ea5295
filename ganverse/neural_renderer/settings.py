"""Schedule, learning rates and training scenes of StyleGAN-R."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ganverse.errors import POSITIVE, SHARE, check_ranges
from ganverse.neural_renderer.found_views import FoundViewSettings


@dataclass(frozen=True)
class DisentangleSettings:
    """Training of StyleGAN-R. Image counts are images of the stream, over all processes."""

    warm_up_images: int = 11_200
    """Length of stage 1 in images, with a frozen generator (paper: 700 iterations of 16)."""
    fine_tune_images: int = 40_000
    """Length of stage 2 in images, with everything trained (paper: 2500 iterations of 16)."""
    mapping_rate: float = 1e-3
    """Adam's learning rate of the mapping networks."""
    fusion_rate: float = 2e-2
    """Adam's learning rate of the fusion weights."""
    synthesis_rate: float = 2e-4
    """Adam's learning rate of the generator in stage 2."""
    decay: bool = True
    """Whether the rates of both stages follow a cosine to 0. The paper's stay at 1e-5, at 512 px."""
    fine_tune_factor: float = 0.5
    """Factor of `mapping_rate` and `fusion_rate` in stage 2."""
    camera_factor: float = 0.0
    """Same for g_v. By default g_v is frozen in stage 2, which repeats the exact cameras of the annotated codes: g_v
    would overfit them."""
    camera_jitter: float = 0.3
    """Noise on elevation, log distance and offset of g_v's cameras in stage 1, relative to their spread (see
    `controls.jittered`). Use 0.7 without `found_views`."""
    calibration_images: int = 256
    """Number of images for the statistics of styles and shapes, before the first step."""
    fill_background: bool = True
    """Whether to fill the hole in a background from its surroundings; the paper leaves it black."""
    own_texture: bool = True
    """Whether to predict the texture of stage 2's un-swapped scenes from the target image, not from the object's other
    view (the paper), because a view code may also change the colors."""
    keep_spread: float = 0.5
    """Share of the spread of the GAN's content styles restored before stage 2 and at the end: 0 none, 1 all
    (`StyleGANR.restore_spread`)."""
    found_views: FoundViewSettings = field(default_factory=FoundViewSettings)
    """Views in addition to the annotated ones."""
    seed: int = 0
    """Seed of all random numbers of the training."""

    def __post_init__(self) -> None:
        rates = dict.fromkeys(("mapping_rate", "fusion_rate", "synthesis_rate"), POSITIVE)
        check_ranges(self, calibration_images=(2, 1e9), keep_spread=SHARE, **rates)

    @property
    def images(self) -> int:
        """Number of images in the whole training."""
        return self.warm_up_images + self.fine_tune_images

    def rates(self, images_seen: int) -> tuple[float, float, float, float, float]:
        """Learning rates after a number of images: g_v; g_s, g_t, g_b; fusion; view corrections; synthesis."""
        if images_seen < self.warm_up_images:
            factor = self._decayed(images_seen / self.warm_up_images)
            return self.mapping_rate * factor, self.mapping_rate * factor, self.fusion_rate, 0.0, 0.0
        factor = self._decayed((images_seen - self.warm_up_images) / max(self.fine_tune_images, 1))
        slow = self.fine_tune_factor * factor
        return (
            self.mapping_rate * self.camera_factor * factor,
            self.mapping_rate * slow,
            self.fusion_rate * slow,
            self.mapping_rate * factor,
            self.synthesis_rate * factor,
        )

    def _decayed(self, progress: float) -> float:
        """Half a cosine from 1 to 0."""
        return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0))) if self.decay else 1.0


DEFAULT_SETTINGS = DisentangleSettings()
