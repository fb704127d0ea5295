import math

import pytest
import torch

from ganverse.geometry.meshes import sphere_template
from ganverse.geometry.voxels import voxel_iou, voxelize
from ganverse.worlds.solids import LatticeBox


def _box(low: float, high: float) -> tuple[torch.Tensor, torch.Tensor]:
    box = LatticeBox.build(1, 1, 1)
    return low + (high - low) * box.lattice.float(), box.faces


def test_sphere_volume() -> None:
    mesh = sphere_template(4)
    share = voxelize(mesh.vertices, mesh.faces, 64)[0].float().mean().item()
    assert 8 * share == pytest.approx(4 / 3 * math.pi, rel=0.01)


def test_box_fills_exactly_its_voxels() -> None:
    vertices, faces = _box(-0.5, 0.5)
    occupied = voxelize(vertices[None], faces, 8)[0]
    expected = torch.zeros(8, 8, 8, dtype=torch.bool)
    expected[2:6, 2:6, 2:6] = True
    assert torch.equal(occupied, expected)


def test_overlapping_parts_are_a_union() -> None:
    a, faces = _box(-0.5, 0.25)
    b, _ = _box(-0.25, 0.5)
    both = voxelize(torch.cat([a, b])[None], torch.cat([faces, faces + len(a)]), 16)
    union = voxelize(a[None], faces, 16) | voxelize(b[None], faces, 16)
    assert torch.equal(both, union)


def test_a_plate_between_two_layers_of_centers_holds_none() -> None:
    """Both of its sides are crossed in one step up the column, where they cancel."""
    vertices, faces = _box(-0.5, 0.5)
    for order in (faces, faces.flip(0)):
        assert not voxelize(vertices[None] * torch.tensor([1.0, 1.0, 0.1]), order, 8).any()


def test_a_solid_beyond_the_cube_is_clipped() -> None:
    vertices, faces = _box(-3.0, 3.0)
    assert voxelize(vertices[None], faces, 8).all()


def test_iou_of_shifted_boxes() -> None:
    vertices, faces = _box(-0.5, 0.5)
    a = voxelize(vertices[None], faces, 16)
    b = voxelize(vertices[None] + torch.tensor([0.5, 0.0, 0.0]), faces, 16)
    assert voxel_iou(a, b).item() == pytest.approx(1 / 3)
    assert voxel_iou(a, a).item() == 1.0
