"""Cameras, meshes and mesh regularizers. This package defines all frame conventions (docs/conventions.md)."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.geometry.cameras import Cameras, PinholeCameras, pixel_centers, project
    from ganverse.geometry.meshes import Mesh, face_normals, face_vertices, sphere_template, vertex_normals
    from ganverse.geometry.regularizers import Adjacency, flatten_loss, laplacian_loss, low_pass, move_loss
    from ganverse.geometry.voxels import voxel_iou, voxelize

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
