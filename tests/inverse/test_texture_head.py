from __future__ import annotations

import torch

from ganverse.geometry.meshes import sphere_template
from ganverse.inverse.texture_head import TexelAtlas
from ganverse.rendering import texture_mapping


def test_texels_carry_the_attribute_of_their_place_on_the_surface():
    sphere = sphere_template(2)
    atlas = TexelAtlas(sphere, 64)
    positions = atlas(sphere.vertices)
    assert positions.shape == (1, 64, 64, 3)
    # Reading the baked picture back at the faces' centers gives those centers.
    center_uv = sphere.face_uvs.mean(dim=1)
    centers = sphere.vertices[0, sphere.faces].mean(dim=1)
    read = texture_mapping(center_uv[None, None], positions.permute(0, 3, 1, 2), "bilinear")[0, 0]
    upper = centers[:, 1] > -0.7  # below, the chart is stretched over the border
    assert (read - centers)[upper].norm(dim=-1).max() < 0.06


def test_roof_front_and_sides_lie_where_the_chart_says():
    sphere = sphere_template(2)
    positions = TexelAtlas(sphere, 32)(sphere.vertices)[0]
    assert positions[16, 16, 1] > 0.95
    assert positions[16, 26, 2] > 0.7  # front to the right
    assert positions[26, 16, 0] > 0.7  # left side (+x) below


def test_mirrored_rows_are_mirrored_places():
    sphere = sphere_template(2)
    positions = TexelAtlas(sphere, 32)(sphere.vertices)[0]
    mirrored = positions.flip(0) * torch.tensor([-1.0, 1.0, 1.0])
    upper = positions[..., 1] > -0.5
    assert (positions - mirrored)[upper].abs().max() < 0.02
