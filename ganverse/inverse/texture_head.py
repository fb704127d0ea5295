"""Texture head of the inverse graphics network: copies image pixels to the surface, completed by decoded colors.

A decoder alone learns an object's hue late (all cars become olive), so most of the texture is COPIED from the image.
Every texel mixes four sources with weights that sum to one:
  own       the image at the texel's sampling position (texture flow);
  mirrored  the value of its mirror texel, if the category is symmetric: fills the hidden side from the visible one;
  palette   a few colors of this object, each an attention-weighted mean of pixels: for what no pixel shows;
  decoded   a free color.
Maps are decoded with bilinear upsampling; a pixel shuffle leaves a dotted pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ganverse.geometry.cameras import Cameras, project
from ganverse.geometry.meshes import Mesh, face_vertices, vertex_normals
from ganverse.inverse.encoder import keep_variance
from ganverse.rendering.rasterization import draw
from ganverse.rendering.scene import Triangles


class TextureHead(nn.Module):
    """Decoded maps (`decoder(latent)`), image, shape and camera -> UV texture.

    mesh: template. latent: length of the latent vector. image_features: channels of the fine feature map.
    size: texture size in texels. channels: per decoder level, starting at 4 x 4 and doubling the size; the last level
    sets the size of the flow and mixing weights. symmetric: enables `mirrored`. palette: number of colors. Sampling
    positions start at the projection of the surface into the camera.
    """

    faces: Tensor
    interpolation: Tensor

    def __init__(
        self,
        mesh: Mesh,
        *,
        latent: int,
        image_features: int,
        size: int,
        channels: Sequence[int],
        symmetric: bool,
        palette: int,
    ) -> None:
        super().__init__()
        self.symmetric, self.palette = symmetric, palette
        self.decoder = MapDecoder(latent, channels, 3 + 2 + 2 + palette + 1)
        self.atlas = TexelAtlas(mesh, self.decoder.size)
        self.attention = nn.Conv2d(image_features, palette, 1)
        self.facing_gain = nn.Parameter(torch.tensor(4.0))
        self.register_buffer("faces", mesh.faces, persistent=False)
        self.register_buffer("interpolation", bilinear_matrix(self.decoder.size, size), persistent=False)

    def forward(
        self,
        maps: Float[Tensor, "batch maps t t"],
        image: Float[Tensor, "batch 3 height width"],
        features: Float[Tensor, "batch c h w"],
        vertices: Float[Tensor, "batch verts 3"],
        camera: Cameras,
    ) -> Float[Tensor, "batch 3 size size"]:
        """Texture in [0, 1]. maps: output of the decoder; camera: predicted for the image."""
        color, shift, logits = maps.split([3, 2, 3 + self.palette], dim=1)
        positions, facing = self._projected(vertices, camera)
        # The flow corrects the projection by up to a quarter of the image.
        own = self._sample(image, positions + 0.25 * (shift / 4).tanh())
        shares = self._shares(logits, facing)
        palette = self._palette(image, features)
        inner = torch.einsum("bkhw,bkc->bchw", shares[:, 2:-1], palette) + shares[:, -1:] * color.sigmoid()
        texture = self._enlarge(inner) + self._enlarge(shares[:, :1]) * own
        return texture + self._enlarge(shares[:, 1:2]) * own.flip(2) if self.symmetric else texture

    @torch.no_grad()  # only renders may move vertices and cameras; colors would pull them towards similar ones
    def _projected(
        self, vertices: Float[Tensor, "batch verts 3"], camera: Cameras
    ) -> tuple[Float[Tensor, "batch 2 t t"], Float[Tensor, "batch 1 t t"]]:
        """Initial sampling positions (NDC), and the cosine between surface normal and viewing direction."""
        attributes = torch.cat([vertices, vertex_normals(vertices, self.faces)], dim=-1)
        points, normals = self.atlas(attributes).flatten(1, 2).split(3, dim=-1)
        to_camera = functional.normalize(camera.position[:, None] - points, dim=-1)
        facing = (to_camera * functional.normalize(normals, dim=-1)).sum(dim=-1)
        ndc, _ = project(camera, points)
        grid = (len(points), self.atlas.size, self.atlas.size)
        return ndc.view(*grid, 2).permute(0, 3, 1, 2), facing.view(grid)[:, None]

    def _sample(
        self, image: Float[Tensor, "batch 3 height width"], positions: Float[Tensor, "batch 2 t t"]
    ) -> Float[Tensor, "batch 3 size size"]:
        # Positions are smooth over the chart; upsampling them instead of the colors keeps the image's detail.
        x, y = self._enlarge(positions).unbind(dim=1)
        grid = torch.stack([x, -y], dim=-1)
        return functional.grid_sample(image, grid, padding_mode="border", align_corners=False)

    def _shares(
        self, logits: Float[Tensor, "batch k t t"], facing: Float[Tensor, "batch 1 t t"]
    ) -> Float[Tensor, "batch k t t"]:
        """Mixing weights (own, mirrored, palette..., decoded); surface facing the camera prefers its own pixels."""
        own, mirrored, rest = logits.split([1, 1, logits.shape[1] - 2], dim=1)
        own = own + self.facing_gain * facing
        if not self.symmetric:
            return torch.cat([own, torch.full_like(own, -torch.inf), rest], dim=1).softmax(dim=1)
        return torch.cat([own, mirrored + self.facing_gain * facing.flip(2), rest], dim=1).softmax(dim=1)

    def _palette(
        self, image: Float[Tensor, "batch 3 height width"], features: Float[Tensor, "batch c h w"]
    ) -> Float[Tensor, "batch palette 3"]:
        """The object's colors: attention-weighted means of the image."""
        attention = self.attention(features).flatten(2).softmax(dim=-1)
        pixels = functional.adaptive_avg_pool2d(image, (features.shape[-2], features.shape[-1])).flatten(2)
        return torch.einsum("bkn,bcn->bkc", attention, pixels)

    def _enlarge(self, maps: Float[Tensor, "batch c t t"]) -> Float[Tensor, "batch c size size"]:
        return self.interpolation @ maps @ self.interpolation.T


class MapDecoder(nn.Module):
    """Latent vector -> maps in UV space, plus a learned bias per texel (the category's mean)."""

    def __init__(self, latent: int, channels: Sequence[int], maps: int) -> None:
        super().__init__()
        self.size = 4 * 2 ** (len(channels) - 1)
        self.start = keep_variance(nn.Linear(latent, channels[0] * 16))
        pairs = list(pairwise(channels))
        self.convolutions = nn.ModuleList([keep_variance(nn.Conv2d(a, b, 3, padding=1)) for a, b in pairs])
        self.norms = nn.ModuleList([nn.GroupNorm(8, b) for b in channels[1:]])
        self.to_maps = nn.Conv2d(channels[-1], maps, 3, padding=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(maps, self.size, self.size))
        nn.init.normal_(self.to_maps.weight, std=0.01)

    def forward(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch maps t t"]:
        x = functional.relu(self.start(latent)).view(len(latent), -1, 4, 4)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = functional.relu(norm(convolution(x)))
        return self.to_maps(x) + self.bias


class TexelAtlas(nn.Module):
    """Maps vertex attributes to the texels of a square texture, for all meshes of one template.

    mesh: one mesh of the template. size: texture size; row 0 is v = 1. Where faces overlap in the chart (the lower pole
    is stretched over the border), the higher face counts. Uncovered texels copy the nearest covered one.
    """

    corners: Tensor
    weights: Tensor

    def __init__(self, mesh: Mesh, size: int) -> None:
        super().__init__()
        self.size = size
        flat = mesh.face_uvs[None] * 2 - 1
        height = face_vertices(mesh.vertices[:1, :, 1:], mesh.faces)[..., 0].mean(dim=-1, keepdim=True)
        depth = (height - height.max() - 1).expand(-1, -1, 3)
        corners = torch.eye(3).expand(1, len(mesh.faces), 3, 3)
        drawn = draw(Triangles(flat, depth, corners), size, size, backend="reference")
        nearest = _nearest_covered(drawn.face_index[0] >= 0)
        self.register_buffer("corners", mesh.faces[drawn.face_index.flatten()[nearest]], persistent=False)
        self.register_buffer("weights", drawn.features.reshape(-1, 3)[nearest], persistent=False)

    def forward(self, attributes: Float[Tensor, "batch verts d"]) -> Float[Tensor, "batch size size d"]:
        """Attributes interpolated at texel centers."""
        batch, _, d = attributes.shape
        texels = torch.einsum("btkd,tk->btd", attributes[:, self.corners], self.weights)
        return texels.view(batch, self.size, self.size, d)


def _nearest_covered(covered: Bool[Tensor, "size size"]) -> Int[Tensor, " texels"]:
    """Flat index of the nearest covered texel, for every texel in row-major order."""
    places = torch.cartesian_prod(*(torch.arange(n) for n in covered.shape)).float()
    index = torch.arange(covered.numel())
    inside, outside = index[covered.flatten()], index[~covered.flatten()]
    if len(outside) > 0:
        index[outside] = inside[torch.cdist(places[outside], places[inside]).argmin(dim=1)]
    return index


def bilinear_matrix(source: int, target: int) -> Float[Tensor, "target source"]:
    """Linear interpolation of `source` samples at `target` positions, as a matrix.

    Applied to rows and columns it equals bilinear upsampling, in half the time on a CPU.
    """
    identity = torch.eye(source)[None]
    return functional.interpolate(identity, size=target, mode="linear", align_corners=False)[0].T.contiguous()
