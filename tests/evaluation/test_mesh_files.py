import io

import numpy as np
import torch
import trimesh

from ganverse.evaluation.mesh_files import glb_bytes
from ganverse.geometry.meshes import sphere_template


def test_glb_reads_back_with_shape_texture_and_front() -> None:
    mesh = sphere_template(1)
    mesh = mesh.with_vertices(mesh.vertices * torch.tensor([0.4, 0.3, 0.9]))
    texture = torch.zeros(3, 16, 16)
    texture[0, :, 8:] = 1.0  # the right half of the chart is the front
    texture[2, :, :8] = 1.0
    scene = trimesh.load(io.BytesIO(glb_bytes(mesh, texture)), file_type="glb")
    (read,) = scene.geometry.values()
    assert np.allclose(
        read.bounds, mesh.vertices[0].aminmax(dim=0)[0].numpy()[None].repeat(2, 0) * [[1], [-1]], atol=1e-5
    )
    assert len(read.faces) == len(mesh.faces)
    assert read.is_watertight is False or read.volume > 0
    assert np.allclose(read.visual.uv, mesh.face_uvs.flatten(0, 1).numpy(), atol=1e-5)
    front = read.vertices[:, 2].argmax()
    image, (u, v) = read.visual.material.baseColorTexture, read.visual.uv[front]
    pixel = image.convert("RGB").getpixel((min(15, int(u * 16)), min(15, int((1 - v) * 16))))
    assert pixel == (255, 0, 0)
