"""DIB-R as NVIDIA Kaolin computes it: CUDA only, for comparison and for those who have it; written against 0.18.

Differs from the other backends in what cannot matter: a face of no area is drawn where a pixel's centre lies exactly
on it, and gradients of faces much smaller than a pixel are damped by Kaolin's epsilon (2e-4 of the total at 64 px).
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ganverse.errors import GanverseError


def rasterize(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_vertices_z: Float[Tensor, "b f 3"],
    face_features: Float[Tensor, "b f 3 d"],
    height: int,
    width: int,
    front_facing: Bool[Tensor, "b f"] | None,
) -> tuple[Float[Tensor, "b h w d"], Int64[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Features, face index and depth; see `ganverse.rendering.rasterization.rasterize`."""
    from kaolin.render import mesh

    # Kaolin returns no depth: z goes along as one more feature, whose gradient ends here.
    z = face_vertices_z.detach()
    drawn, index = mesh.rasterize(
        height, width, z, face_vertices_image, torch.cat([face_features, z[..., None]], -1), front_facing
    )
    return drawn[..., :-1], index, drawn[..., -1].detach()


def soft_silhouette(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_index: Int64[Tensor, "b h w"],
    sigmainv: float,
    boxlen: float,
    knum: int,
    nearest: bool,
) -> Float[Tensor, "b h w"]:
    """Soft mask; see `ganverse.rendering.rasterization.soft_silhouette`."""
    if nearest:
        raise GanverseError(
            "kaolin's silhouette listens to the first knum faces, but the nearest were asked for:"
            " use the backend 'warp' or 'reference', or leave `nearest` off"
        )
    from kaolin.render import mesh

    return mesh.dibr_soft_mask(face_vertices_image, face_index, sigmainv, boxlen, knum)
