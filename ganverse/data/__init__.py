"""LightningDataModules: multi-view samples from a GAN during training, from shards, or from image folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.batch import MultiViewBatch
    from ganverse.data.multi_view import MultiViewData, MultiViewStream
    from ganverse.data.multi_view_folder import MultiViewFolder
    from ganverse.data.multi_view_shards import MultiViewShards
    from ganverse.data.sampling import SamplingSettings
    from ganverse.data.world_images import WorldImages

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
