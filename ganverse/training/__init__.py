"""What Lightning lacks: EMA with a half-life in images, a NaN guard, sample media, the CLI class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.training.diagnostics import Diagnostics, NaNGuard
    from ganverse.training.ema import EMA
    from ganverse.training.media import SampleLogger
    from ganverse.training.progress import ImagesProgressBar

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
