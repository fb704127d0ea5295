"""StyleGAN-R: an image GAN as a renderer of camera, shape, texture and background (paper, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.neural_renderer.controls import azimuth_sweep, render_in_chunks, swap_matrix
    from ganverse.neural_renderer.mapping import MappingSettings
    from ganverse.neural_renderer.objective import DisentangleWeights
    from ganverse.neural_renderer.renderer import StyleGANR
    from ganverse.neural_renderer.scenes import Scenes, remove_object
    from ganverse.neural_renderer.settings import DisentangleSettings
    from ganverse.neural_renderer.weights import load_stylegan_r, save_stylegan_r

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
