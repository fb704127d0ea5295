"""DIB-R as NVIDIA Kaolin computes it: CUDA only, for comparison and for those who have it; written against 0.18.

Differs from the other backends in what cannot matter: a face of no area is drawn where a pixel's center lies exactly
on it, and gradients of faces much smaller than a pixel are damped by Kaolin's epsilon (2e-4 of the total at 64 px).
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.rendering.scene import Rasterization, Rim, Triangles, check_finite


def rasterize(scene: Triangles, height: int, width: int) -> Rasterization:
    """See `ganverse.rendering.rasterization.rasterize`."""
    from kaolin.render import mesh

    scene.check()
    # Kaolin returns no depth: z goes along as one more feature, whose gradient ends here.
    z = scene.z.detach()
    features = torch.cat([scene.features, z[..., None]], -1)
    drawn, index = mesh.rasterize(height, width, z, scene.corners, features, scene.drawn)
    return Rasterization(drawn[..., :-1], index, drawn[..., -1].detach())


def soft_silhouette(
    corners: Float[Tensor, "b f 3 2"], face_index: Int64[Tensor, "b h w"], rim: Rim
) -> Float[Tensor, "b h w"]:
    """See `ganverse.rendering.rasterization.soft_silhouette`."""
    if rim.nearest:
        raise GanverseError(
            "kaolin's silhouette listens to the first knum faces, but the nearest were asked for:"
            " use the backend 'warp' or 'reference', or leave `nearest` off"
        )
    check_finite(corners, "face_vertices_image")
    from kaolin.render import mesh

    return mesh.dibr_soft_mask(corners, face_index, rim.sigmainv, rim.boxlen, rim.knum)


def dibr(scene: Triangles, height: int, width: int, rim: Rim) -> tuple[Rasterization, Float[Tensor, "b h w"]]:
    """See `ganverse.rendering.rasterization.dibr`."""
    drawn = rasterize(scene, height, width)
    return drawn, soft_silhouette(scene.corners, drawn.face_index, rim)
