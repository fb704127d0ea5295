"""ganverse: image GANs meet differentiable rendering (GANverse3D, ICLR 2021), in the open.

>>> from ganverse import Reconstructor
>>> Reconstructor.from_pretrained("car")("photo.jpg").save("car.glb")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.data import MultiViewFolder, MultiViewShards, MultiViewStream
    from ganverse.generators import load_generator
    from ganverse.geometry import Cameras, Mesh
    from ganverse.inverse import InverseGraphicsNetwork
    from ganverse.neural_renderer import StyleGANR
    from ganverse.reconstruction import Reconstructor
    from ganverse.rendering import dibr_rasterization, render
    from ganverse.tasks import DatasetGeneration, Disentanglement, ImageGAN, InverseGraphics

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
