"""Schedule, rates and lessons of StyleGAN-R's training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ganverse.neural_renderer.critic import DEFAULT_CRITIC, CriticSettings
from ganverse.neural_renderer.found_views import FoundViewSettings
from ganverse.rendering.render import SHARP, Silhouette


@dataclass(frozen=True)
class DisentangleSettings:
    """Schedule and rates. Numbers of images count pictures of the stream, over all processes.

    warm_up_images: stage 1, generator frozen (paper: 700 iterations of 16). fine_tune_images: stage 2 (2500 of 16).
    mapping_rate, fusion_rate: Adam's, in stage 1; in stage 2 times fine_tune_factor. synthesis_rate: of the generator
    in stage 2. Both stages end along a cosine to 0. The paper's 1e-5 throughout is for 512 px and hundreds of GPU
    minutes. camera_factor: as fine_tune_factor, of g_v, which by default keeps what stage 1 has taught it: stage 2 asks
    for the exact cameras of the annotated codes over and over, and g_v would learn these by heart.
    camera_jitter: noise on elevation, log distance and offset of the cameras that g_v learns from in stage 1, as a
    share of their spread (without `found_views` it takes 0.7); azimuth_jitter_degrees: on the azimuth (see
    `controls.jittered`).
    grow, fill_background: see `remove_object`. silhouette: of the DIB-R render in the camera cycle.
    calibration_images: pictures from which the statistics of styles and shapes are taken before the first step.
    own_texture: T of stage 2's un-swapped scenes is read from the very picture that is asked for, not from the object's
    other view, since a view code may paint along (see `read_lesson`). keep_spread: how far what the mapping
    networks say of the content gets back the spread that the generator's styles have (`StyleGANR.restore_spread`),
    before stage 2 and in the end; 0 leaves it, 1 restores all. found_views: beside the annotated ones. critic: of the
    term `adversarial`.
    """

    warm_up_images: int = 11_200
    fine_tune_images: int = 40_000
    mapping_rate: float = 1e-3
    fusion_rate: float = 2e-2
    synthesis_rate: float = 2e-4
    fine_tune_factor: float = 0.5
    camera_factor: float = 0.0
    camera_jitter: float = 0.3
    azimuth_jitter_degrees: float = 3.0
    calibration_images: int = 256
    grow: int = 2
    fill_background: bool = True
    silhouette: Silhouette = SHARP
    own_texture: bool = True
    keep_spread: float = 0.5
    found_views: FoundViewSettings = field(default_factory=FoundViewSettings)
    critic: CriticSettings = DEFAULT_CRITIC
    seed: int = 0

    @property
    def images(self) -> int:
        """Pictures of the whole training."""
        return self.warm_up_images + self.fine_tune_images

    def rates(self, images_seen: int) -> tuple[float, float, float, float, float, float]:
        """Learning rates of the optimizer's six groups after so many images."""
        if images_seen < self.warm_up_images:
            factor = _cosine(images_seen / self.warm_up_images)
            return self.mapping_rate * factor, self.mapping_rate * factor, self.fusion_rate, 0.0, 0.0, 0.0
        factor = _cosine((images_seen - self.warm_up_images) / max(self.fine_tune_images, 1))
        slow = self.fine_tune_factor * factor
        return (
            self.mapping_rate * self.camera_factor * factor,
            self.mapping_rate * slow,
            self.fusion_rate * slow,
            self.mapping_rate * factor,
            self.synthesis_rate * factor,
            self.critic.rate * factor,
        )


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


DEFAULT_SETTINGS = DisentangleSettings()
