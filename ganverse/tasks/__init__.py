"""LightningModules that wire networks, objectives and data; usable in any Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.tasks.dataset_generation import DatasetGeneration
    from ganverse.tasks.disentanglement import Disentanglement
    from ganverse.tasks.image_gan import ImageGAN
    from ganverse.tasks.inverse_graphics import InverseGraphics

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)


def register() -> None:
    """Imports all models and data sources, so that the command line finds them by their short names."""
    import ganverse.data

    for package in (ganverse.data, ganverse.tasks):
        for name in package.__all__:
            getattr(package, name)
