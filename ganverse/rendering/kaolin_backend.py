"""DIB-R with NVIDIA Kaolin (CUDA only, written for 0.18), for comparison.

Differs negligibly from the other backends: a zero-area face is drawn if a pixel's center lies exactly on it, and
Kaolin's epsilon damps gradients of faces much smaller than a pixel (2e-4 of the total at 64 px).
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganverse.rendering.scene import Rasterization, SoftMaskSettings, Triangles, check_finite


def rasterize(scene: Triangles, height: int, width: int, soft_mask: SoftMaskSettings | None = None) -> Rasterization:
    """See `backends.Implementation`."""
    from kaolin.render import mesh

    scene.check_finite()
    # Kaolin returns no depth: pass z as another feature, without gradient.
    z = scene.z.detach()
    features = torch.cat([scene.features, z[..., None]], -1)
    drawn, index = mesh.rasterize(height, width, z, scene.corners, features, scene.drawn)
    mask = None if soft_mask is None else soft_silhouette(scene.corners, index, soft_mask)
    return Rasterization(drawn[..., :-1], index, drawn[..., -1].detach(), mask)


def soft_silhouette(
    corners: Float[Tensor, "b f 3 2"], face_index: Int64[Tensor, "b h w"], soft_mask: SoftMaskSettings
) -> Float[Tensor, "b h w"]:
    """See `backends.Implementation`."""
    from kaolin.render import mesh

    check_finite(corners, "face_vertices_image")
    return mesh.dibr_soft_mask(corners, face_index, soft_mask.sigmainv, soft_mask.boxlen, soft_mask.knum)
