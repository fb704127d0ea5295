"""Other people's renderers on our scene, where they are installed."""

import importlib.util
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.renderer_scene import Passes, Scene


def other_renderers(device: torch.device) -> dict[str, Callable[[Scene], Passes]]:
    """Installed ones by name; DEODR works on the CPU only."""
    found: dict[str, Callable[[Scene], Passes]] = {}
    if device.type == "cpu" and importlib.util.find_spec("deodr") and importlib.util.find_spec("trimesh"):
        found["deodr"] = deodr_passes
    if importlib.util.find_spec("pytorch3d"):
        found["pytorch3d"] = pytorch3d_passes
    return found


def deodr_passes(scene: Scene) -> Passes:
    """DEODR's 2.5-D scenes: three features and a silhouette channel of ones, antialiased over one pixel."""
    from deodr import Scene2D

    faces = scene.faces.numpy().astype(np.uint32)
    points = scene.points.double().numpy()
    columns = (points[..., 0] * scene.size + scene.size - 1) / 2
    rows = (scene.size - 1 - points[..., 1] * scene.size) / 2
    count = points.shape[1]
    views = [
        Scene2D(
            faces=faces,
            faces_uv=faces,
            ij=np.stack([columns[i], rows[i]], axis=1),
            depths=-scene.points_z[i].double().numpy(),
            textured=np.zeros(len(faces), dtype=bool),
            uv=np.zeros((count, 2)),
            shade=np.zeros(count),
            colors=np.concatenate([scene.point_features[i].double().numpy(), np.ones((count, 1))], axis=1),
            shaded=np.zeros(len(faces), dtype=bool),
            edgeflags=silhouette_edges(scene.faces.numpy(), (scene.winding[i] >= 0).numpy()),
            height=scene.size,
            width=scene.size,
            nb_colors=4,
            texture=np.zeros((0, 0)),
            background_color=np.zeros(4),
            clockwise=True,
            backface_culling=True,
        )
        for i in range(len(points))
    ]
    gradient = torch.cat([scene.grad_features, scene.grad_mask[..., None]], dim=-1).double().numpy()

    def forward() -> list[np.ndarray]:
        return [view.render(sigma=1)[0] for view in views]

    def backward(_: list[np.ndarray]) -> None:
        for view, image_gradient in zip(views, gradient, strict=True):
            view.clear_gradients()
            view.render_backward(image_gradient)

    return Passes(forward, backward)


def silhouette_edges(faces: np.ndarray, front_facing: np.ndarray) -> np.ndarray:
    """Which of each face's edges (ab, bc, ca) lie between a front and a back face."""
    edges = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1), axis=-1).reshape(-1, 2)
    _, edge = np.unique(edges, axis=0, return_inverse=True)
    fronts = np.bincount(edge.reshape(-1), weights=np.repeat(front_facing, 3))
    return (fronts[edge.reshape(-1)] == 1).reshape(-1, 3)


def pytorch3d_passes(scene: Scene) -> Passes:
    """PyTorch3D's soft rasterizer with as many faces a pixel and as soft a rim as ours."""
    from pytorch3d.ops import interpolate_face_attributes
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    batch, device = len(scene.points), scene.corners.device
    # Its NDC has x to the left and z forward.
    points = torch.cat([scene.points * torch.tensor([-1.0, 1.0]), -scene.points_z[..., None]], dim=-1)
    points = points.to(device).requires_grad_()
    features = scene.features.reshape(-1, 3, 3).clone().requires_grad_()
    faces = scene.faces.to(device).expand(batch, -1, -1)

    def forward() -> tuple[torch.Tensor, torch.Tensor]:
        meshes = Meshes(points, faces)
        index, _, weights, d2 = rasterize_meshes(meshes, scene.size, blur_radius=0.02**2, faces_per_pixel=30)
        image = interpolate_face_attributes(index[..., :1], weights[..., :1, :], features)[..., 0, :]
        near = torch.where(index >= 0, torch.sigmoid(-d2 * 7000), 0.0)
        return image, 1 - (1 - near).prod(dim=-1)

    def backward(result: tuple[torch.Tensor, torch.Tensor]) -> None:
        points.grad = features.grad = None
        torch.autograd.backward(result, (scene.grad_features, scene.grad_mask))

    return Passes(forward, backward)
