"""DIB-R, the differentiable renderer: `render` for meshes and cameras, and Kaolin's primitives under Kaolin's names."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.rendering.rasterization import dibr_rasterization, dibr_soft_mask, rasterize, soft_silhouette
    from ganverse.rendering.renderer import RenderResult, render
    from ganverse.rendering.scene import SHARP, SoftMaskSettings
    from ganverse.rendering.shading import ambient_light, spherical_harmonics, texture_mapping

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "SHARP": "ganverse.rendering.scene",
        "RenderResult": "ganverse.rendering.renderer",
        "SoftMaskSettings": "ganverse.rendering.scene",
        "ambient_light": "ganverse.rendering.shading",
        "dibr_rasterization": "ganverse.rendering.rasterization",
        "dibr_soft_mask": "ganverse.rendering.rasterization",
        "rasterize": "ganverse.rendering.rasterization",
        "render": "ganverse.rendering.renderer",
        "soft_silhouette": "ganverse.rendering.rasterization",
        "spherical_harmonics": "ganverse.rendering.shading",
        "texture_mapping": "ganverse.rendering.shading",
    },
)
