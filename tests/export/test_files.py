"""Meshes on disk: read back by trimesh they have the same surface, texture coordinates and texels."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from ganverse.errors import GanverseError
from ganverse.export import save_mesh
from ganverse.geometry.meshes import Mesh, sphere_template
from ganverse.inverse.weights import load_inverse
from ganverse.pretrained import SHIPPED


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
    save_mesh(mesh, texture, str(tmp_path / "deep" / name))
    loaded = read(tmp_path / "deep" / name)
    corners = loaded.vertices[loaded.faces]
    expected = mesh.vertices[0][mesh.faces].numpy()
    assert corners.shape == expected.shape
    assert np.abs(corners - expected).max() < 1e-5
    assert np.abs(loaded.visual.uv[loaded.faces] - mesh.face_uvs.numpy()).max() < 1e-5
    assert np.array_equal(image(loaded), (texture * 255).round().byte().permute(1, 2, 0).numpy())


def test_surface_is_closed_and_faces_outwards(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    save_mesh(mesh, texture, tmp_path / "car.glb")
    loaded = read(tmp_path / "car.glb")
    outwards = (loaded.vertex_normals * (loaded.vertices - loaded.vertices.mean(axis=0))).sum(axis=1)
    assert (outwards > 0).all()
    loaded.merge_vertices(merge_tex=True, merge_norm=True)
    assert loaded.is_watertight
    assert loaded.volume == pytest.approx(4 / 3 * np.pi * 0.4 * 0.3 * 0.9, rel=0.1)


def test_a_texel_is_where_the_renderer_looks_for_it(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    """The front (+z) is at the right of the chart: red there, whatever the format does with v."""
    save_mesh(mesh, texture, tmp_path / "car.glb")
    loaded = read(tmp_path / "car.glb")
    colors = loaded.visual.material.to_color(loaded.visual.uv)[:, :3]
    front, rear = colors[loaded.vertices[:, 2].argmax()], colors[loaded.vertices[:, 2].argmin()]
    left, right = colors[loaded.vertices[:, 0].argmax()], colors[loaded.vertices[:, 0].argmin()]
    assert front[0] > 200 > 60 > rear[0]
    assert right[1] > left[1]


def test_glb_keeps_to_the_specification(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    """What the Khronos validator looks at first; `.ci/validate-glb` runs the validator itself."""
    save_mesh(mesh, texture, tmp_path / "car.glb")
    data = (tmp_path / "car.glb").read_bytes()
    magic, version, length, json_length, json_kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, json_kind) == (b"glTF", 2, len(data), b"JSON")
    gltf = json.loads(data[20 : 20 + json_length])
    start = 20 + json_length
    binary_length, binary_kind = struct.unpack("<I4s", data[start : start + 8])
    assert binary_kind == b"BIN\0"
    assert json_length % 4 == binary_length % 4 == 0
    binary = data[start + 8 :]
    assert gltf["buffers"] == [{"byteLength": binary_length}]

    def values(index: int) -> np.ndarray:
        accessor = gltf["accessors"][index]
        view = gltf["bufferViews"][accessor["bufferView"]]
        kind = np.dtype({5126: "<f4", 5125: "<u4", 5123: "<u2"}[accessor["componentType"]])
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
        first = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        assert first % kind.itemsize == 0
        return np.frombuffer(binary, kind, accessor["count"] * width, first).reshape(-1, width)

    (primitive,) = gltf["meshes"][0]["primitives"]
    position = gltf["accessors"][primitive["attributes"]["POSITION"]]
    points = values(primitive["attributes"]["POSITION"])
    assert np.allclose(points.min(axis=0), position["min"])
    assert np.allclose(points.max(axis=0), position["max"])
    assert np.allclose(np.linalg.norm(values(primitive["attributes"]["NORMAL"]), axis=1), 1, atol=1e-3)
    uvs = values(primitive["attributes"]["TEXCOORD_0"])
    assert len(uvs) == len(points)
    assert 0 <= uvs.min() <= uvs.max() <= 1
    assert values(primitive["indices"]).max() == len(points) - 1
    material = gltf["materials"][primitive["material"]]["pbrMetallicRoughness"]
    image = gltf["images"][gltf["textures"][material["baseColorTexture"]["index"]]["source"]]
    assert image["mimeType"] == "image/png"


def test_shipped_reconstructions_are_closed_and_not_inside_out(tmp_path: Path) -> None:
    network = load_inverse(SHIPPED / "inverse-car.safetensors").network
    size = network.config.resolution
    with torch.no_grad():
        seen = network(torch.rand(1, 3, size, size))
    save_mesh(network.mesh(seen), seen.texture[0], tmp_path / "car.glb")
    loaded = read(tmp_path / "car.glb")
    loaded.merge_vertices(merge_tex=True, merge_norm=True)
    assert loaded.is_watertight
    assert loaded.is_winding_consistent
    assert loaded.euler_number == 2
    assert loaded.volume > 0


def test_other_formats_are_refused(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    with pytest.raises(GanverseError, match=r"\.glb, \.obj, .*got"):
        save_mesh(mesh, texture, tmp_path / "car.stl")


def test_obj_brings_its_material_along(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    written = save_mesh(mesh, texture, tmp_path / "red car.obj")
    assert written[0] == tmp_path / "red car.obj"
    assert sorted(written) == sorted(tmp_path.iterdir())
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["red car.obj", "red=20car.obj.mtl", "red=20car.obj.png"]
    material = (tmp_path / "red=20car.obj.mtl").read_text()
    assert "map_Kd red=20car.obj.png" in material
    assert "Kd 1.0" in material
    assert "mtllib red=20car.obj.mtl" in (tmp_path / "red car.obj").read_text()


def test_no_two_outputs_share_a_file(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    names = ["my car.obj", "my_car.obj", "my\tcar.obj", "my=20car.obj", "my%20car.obj", "MY_CAR.OBJ", "é.obj"]
    names += ["my_car.usda", "my_car.usdc", "my_car.usdz", "my_car.glb"]
    shades = [(i + 1) / 16 for i in range(len(names))]
    photo = tmp_path / "my_car.png"  # a user's own picture beside its mesh
    photo.write_text("mine")
    written = [
        path
        for name, shade in zip(names, shades, strict=True)
        for path in save_mesh(mesh, texture.new_full((3, 4, 4), shade), tmp_path / name)
    ]
    assert len(written) == len(set(written)) == 7 * 3 + 2 * 2 + 2
    assert photo.read_text() == "mine"
    for name, shade in zip(names[:7], shades, strict=False):
        assert image(read(tmp_path / name))[0, 0, 0] == round(shade * 255)


DEGENERATE = {
    "a point": torch.zeros(3),
    "a line": torch.tensor([1.0, 0.0, 0.0]),
    "a plane": torch.tensor([1.0, 0.0, 1.0]),
    "almost nothing": torch.full((3,), 1e-30),
}


@pytest.mark.parametrize("scale", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_meshes_have_unit_normals(scale: torch.Tensor, tmp_path: Path) -> None:
    """Khronos' validator takes others for errors."""
    sphere = sphere_template(1)
    path = tmp_path / "a.glb"
    save_mesh(sphere.with_vertices(sphere.vertices * scale), torch.rand(3, 4, 4), path)
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    document = json.loads(data[20 : 20 + length])
    place = document["meshes"][0]["primitives"][0]["attributes"]["NORMAL"]
    accessor = document["accessors"][place]
    start = 28 + length + document["bufferViews"][accessor["bufferView"]].get("byteOffset", 0)
    normals = np.frombuffer(data, "<f4", 3 * accessor["count"], start).reshape(-1, 3)
    assert np.abs(np.linalg.norm(normals, axis=1) - 1).max() < 1e-4


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("ending", ["glb", "obj", "usdz"])
def test_vertices_that_no_file_holds(number: float, ending: str, tmp_path: Path) -> None:
    sphere = sphere_template(1)
    with pytest.raises(GanverseError, match="expected vertices within"):
        save_mesh(sphere.with_vertices(sphere.vertices + number), torch.rand(3, 4, 4), tmp_path / f"a.{ending}")
    assert list(tmp_path.iterdir()) == []
