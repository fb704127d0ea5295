"""What Lightning does not have: EMA by half-life in images, a NaN guard, sample pictures, the command line's class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.training.diagnostics import Diagnostics, NaNGuard
    from ganverse.training.ema import EMA
    from ganverse.training.media import SampleLogger
    from ganverse.training.progress import ImagesProgressBar

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
