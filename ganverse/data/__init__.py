"""LightningDataModules: multi-view samples of a GAN made while training, from shards, or from folders of pictures."""

from __future__ import annotations

from ganverse._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "MultiViewBatch": "ganverse.data.batch",
        "MultiViewData": "ganverse.data.multi_view",
        "MultiViewFolder": "ganverse.data.multi_view_folder",
        "MultiViewShards": "ganverse.data.multi_view_shards",
        "MultiViewStream": "ganverse.data.multi_view",
        "SamplingSettings": "ganverse.data.sampling",
        "WorldImages": "ganverse.data.world_images",
    },
)
