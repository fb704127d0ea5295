from __future__ import annotations

import torch
from torch.nn import functional

from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import sphere_template
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.inverse.texture_head import TexelAtlas
from ganverse.rendering import texture_mapping
from tests.inverse.tiny import TINY


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


def test_texels_that_face_the_camera_are_copied_and_mirrored_ones_from_across():
    """A unit sphere from its left side: cosines and shares in closed form; no flow, no opinion of the decoder."""
    head, sphere = InverseGraphicsNetwork(TINY).texture, sphere_template(2)
    camera = Cameras.from_degrees([90.0], [0.0], [4.0])
    _, facing = head._projected(sphere.vertices, camera)
    points = head.atlas(sphere.vertices)[0]
    normals, sight = functional.normalize(points, dim=-1), functional.normalize(camera.position[0] - points, dim=-1)
    upper = points[..., 1] > -0.5
    assert (facing[0, 0] - (normals * sight).sum(dim=-1))[upper].abs().max() < 0.05
    maps = torch.zeros(1, 3 + 2 + 3 + TINY.palette, *facing.shape[2:])
    shares = head._shares(maps[:, 5:], facing)
    own, mirrored = (4 * facing).exp(), (4 * facing.flip(2)).exp()
    torch.testing.assert_close(shares[:, :1], own / (own + mirrored + TINY.palette + 1))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones_like(facing[:, 0]))
    image = torch.rand(1, 3, 32, 32)
    texture = head(maps, image, torch.randn(1, TINY.channels[0], 8, 8), sphere.vertices, camera)
    torch.testing.assert_close(texture, texture.flip(2), atol=1e-5, rtol=0)
