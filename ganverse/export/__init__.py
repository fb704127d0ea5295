"""Writes textured meshes as GLB, OBJ and USD."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.export.files import FORMATS, check_format, glb_bytes, save_mesh, to_trimesh

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
