"""Reads weights of image GANs trained elsewhere without executing anything in their files."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.importing.importer import ImportSettings, import_generator

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
