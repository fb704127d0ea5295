"""Gloss: highlights of spherical-Gaussian lights on a microfacet surface (DIB-R++, Chen et al. 2021, section 3.2).

Both the lights and the surface's lobe are spherical Gaussians G(v) = a exp(s (v . axis - 1)), whose product has a
closed integral; the warp of the surface's lobe from half vectors to light directions is that of Wang et al. 2009.
All directions are unit vectors of the world frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Specular:
    """Lights with a direction, and how glossy the object is: one set per image.

    axis: direction towards each light, any length but 0. sharpness: of the light, above 0; 1 is half the sky, 100 a
    lamp. intensity: radiance on the axis, at least 0. reflectance: share of the light mirrored head-on, in [0, 1];
    0.04 is varnish. roughness: in (0, 1]; 0.1 is wet paint, 0.6 is rubber.
    """

    axis: Float[Tensor, "batch lights 3"]
    sharpness: Float[Tensor, "batch lights"]
    intensity: Float[Tensor, "batch lights"]
    reflectance: Float[Tensor, " batch"]
    roughness: Float[Tensor, " batch"]


def specular_radiance(
    specular: Specular,
    normals: Float[Tensor, "batch height width 3"],
    towards_camera: Float[Tensor, "batch height width 3"],
) -> Float[Tensor, "batch height width"]:
    """White light mirrored towards the camera at each pixel; to be added to the diffuse color. At least 0."""
    reflectance, roughness = (x[:, None, None] for x in (specular.reflectance, specular.roughness))
    cosine = (normals * towards_camera).sum(-1).clamp_min(1e-2)
    mirrored = 2 * cosine[..., None] * normals - towards_camera
    squared = roughness.square().square().clamp_min(1e-6)  # alpha^2, alpha = roughness^2 (Disney, Karis)
    sharpness = 1 / (2 * cosine * squared)
    gathered = _inner_product(mirrored, sharpness, specular).sum(-1) / (torch.pi * squared)
    # The slowly varying rest of Cook and Torrance's model, taken at the lobe's center, where light and eye mirror
    # each other: Schlick's Fresnel term and Smith's shadowing; the model's 4 (n.l)(n.v) meets the integral's (n.l).
    fresnel = reflectance + (1 - reflectance) * (1 - cosine).clamp_min(0) ** 5
    k = (1 + roughness).square() / 8
    shadowing = cosine / (cosine * (1 - k) + k)
    return fresnel * shadowing.square() / (4 * cosine) * gathered


def _inner_product(
    mirrored: Float[Tensor, "batch height width 3"], sharpness: Float[Tensor, "batch height width"], specular: Specular
) -> Float[Tensor, "batch height width lights"]:
    """Integral over the sphere of (lobe round the mirrored direction, height 1) times each light."""
    axis = torch.nn.functional.normalize(specular.axis, dim=-1)[:, None, None]
    lights, lobe = specular.sharpness[:, None, None], sharpness[..., None]
    # |lobe * mirrored + lights * axis|, from the sum of sharpnesses so that large ones do not cancel.
    aligned = (mirrored[..., None, :] * axis).sum(-1)
    total = lobe + lights
    length = (total.square() - 2 * lobe * lights * (1 - aligned).clamp_min(0)).clamp_min(1e-6).sqrt()
    peak = torch.exp(length - total) * -torch.expm1(-2 * length) / length
    return 2 * torch.pi * specular.intensity[:, None, None] * peak
