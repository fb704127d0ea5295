"""DIB-R, the differentiable renderer: `render` for meshes and cameras, and primitives with Kaolin's interface."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.rendering.rasterization import dibr_rasterization, dibr_soft_mask, rasterize, soft_silhouette
    from ganverse.rendering.renderer import RenderResult, ambient_light, render, spherical_harmonics, texture_mapping
    from ganverse.rendering.scene import SHARP, SoftMaskSettings

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
