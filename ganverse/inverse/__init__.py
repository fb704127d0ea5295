"""Inverse graphics: one image to mesh, texture, camera and light (paper, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.inverse.camera_table import CameraTable
    from ganverse.inverse.losses import InverseLossWeights
    from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig, Reconstruction
    from ganverse.inverse.objective import inverse_step
    from ganverse.inverse.perceptual import PerceptualDistance
    from ganverse.inverse.weights import InverseModel, load_inverse, save_inverse

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
