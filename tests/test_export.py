"""Meshes on disk: read back by trimesh they have the same surface, texture coordinates and texels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from ganverse.errors import GanverseError
from ganverse.export import write_mesh
from ganverse.geometry.meshes import Mesh, sphere_template


@pytest.fixture
def mesh() -> Mesh:
    sphere = sphere_template(2)
    return sphere.with_vertices(sphere.vertices * torch.tensor([0.4, 0.3, 0.9]) + torch.tensor([0.0, 0.1, 0.0]))


@pytest.fixture
def texture() -> torch.Tensor:
    """Red grows to the right, green upwards; blue marks one texel."""
    picture = torch.zeros(3, 16, 16)
    picture[0] = torch.linspace(0, 1, 16)
    picture[1] = torch.linspace(1, 0, 16)[:, None]
    picture[2, 2, 5] = 1
    return picture


def read(path: Path) -> trimesh.Trimesh:
    (loaded,) = trimesh.load_scene(path, process=False).geometry.values()
    return loaded


def image(loaded: trimesh.Trimesh) -> np.ndarray:
    material = loaded.visual.material
    picture = material.baseColorTexture if hasattr(material, "baseColorTexture") else material.image
    return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("name", ["car.glb", "car.obj"])
def test_round_trip(tmp_path: Path, mesh: Mesh, texture: torch.Tensor, name: str) -> None:
    write_mesh(mesh, texture, tmp_path / "deep" / name)
    loaded = read(tmp_path / "deep" / name)
    corners = loaded.vertices[loaded.faces]
    expected = mesh.vertices[0][mesh.faces].numpy()
    assert corners.shape == expected.shape
    assert np.abs(corners - expected).max() < 1e-5
    assert np.abs(loaded.visual.uv[loaded.faces] - mesh.face_uvs.numpy()).max() < 1e-5
    assert np.array_equal(image(loaded), (texture * 255).round().byte().permute(1, 2, 0).numpy())


def test_surface_is_closed_and_faces_outwards(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    write_mesh(mesh, texture, tmp_path / "car.glb")
    loaded = read(tmp_path / "car.glb")
    outwards = (loaded.vertex_normals * (loaded.vertices - loaded.vertices.mean(axis=0))).sum(axis=1)
    assert (outwards > 0).all()
    loaded.merge_vertices(merge_tex=True, merge_norm=True)
    assert loaded.is_watertight
    assert loaded.volume == pytest.approx(4 / 3 * np.pi * 0.4 * 0.3 * 0.9, rel=0.1)


def test_a_texel_is_where_the_renderer_looks_for_it(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    """The front (+z) is at the right of the chart: red there, whatever the format does with v."""
    write_mesh(mesh, texture, tmp_path / "car.glb")
    loaded = read(tmp_path / "car.glb")
    colours = loaded.visual.material.to_color(loaded.visual.uv)[:, :3]
    front, rear = colours[loaded.vertices[:, 2].argmax()], colours[loaded.vertices[:, 2].argmin()]
    left, right = colours[loaded.vertices[:, 0].argmax()], colours[loaded.vertices[:, 0].argmin()]
    assert front[0] > 200 > 60 > rear[0]
    assert right[1] > left[1]


def test_other_formats_are_refused(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    with pytest.raises(GanverseError, match=r"\.glb or \.obj"):
        write_mesh(mesh, texture, tmp_path / "car.stl")


def test_obj_brings_its_material_along(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    write_mesh(mesh, texture, tmp_path / "red car.obj")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["red car.obj", "red_car.mtl", "red_car.png"]
    material = (tmp_path / "red_car.mtl").read_text()
    assert "map_Kd red_car.png" in material
    assert "Kd 1.0" in material
    assert "mtllib red_car.mtl" in (tmp_path / "red car.obj").read_text()
