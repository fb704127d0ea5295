"""DIB-R as NVIDIA Kaolin computes it: CUDA only, for comparison and for those who have it; written against 0.18.

Differs from the other backends in what cannot matter: a face of no area is drawn where a pixel's center lies exactly
on it, and gradients of faces much smaller than a pixel are damped by Kaolin's epsilon (2e-4 of the total at 64 px).
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganverse.rendering.scene import Rasterization, SoftMaskSettings, Triangles, check_finite


def rasterize(scene: Triangles, height: int, width: int, soft_mask: SoftMaskSettings | None = None) -> Rasterization:
    """See `backends.Implementation`."""
    from kaolin.render import mesh

    scene.check_finite()
    # Kaolin returns no depth: z goes along as one more feature, whose gradient ends here.
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
