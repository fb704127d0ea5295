"""Car-world images with 3D ground truth: compares shape, silhouette and colors predicted from single images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.evaluation.alignment import Alignment, azimuth_errors, from_cameras, refine
from ganverse.evaluation.metrics import Score, joined, mask_iou, scores_of
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.evaluation.surfaces import SurfaceDistances, sample_outer_surface
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.voxels import voxel_iou, voxelize
from ganverse.inverse.losses import chroma_error
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.inverse.weights import InverseModel
from ganverse.random_streams import latents
from ganverse.rendering import RenderResult, render
from ganverse.worlds.cars import Cars
from ganverse.worlds.generator import VIEW_DIMS, CarWorldGenerator

VOXELS = 64
"""Resolution of the occupancy grid over [-1, 1]^3."""
SURFACE_SAMPLES, SURFACE_QUERIES = 4000, 1000
"""Points per surface, and how many of them are measured from."""
F_SCORE_DISTANCE = 0.05
"""Threshold of the F-score in world units (a car is 1.8 long)."""
_CALIBRATION_SAMPLES = 750
_FIRST_CALIBRATION_CAR = 1_000_000  # beyond the evaluated ones


@dataclass(frozen=True)
class WorldBatch:
    """Cars from two random cameras each; view 0 is the network's input."""

    images: Float[Tensor, "batch 2 3 height width"]
    masks: Float[Tensor, "batch 2 1 height width"]
    cameras: tuple[Cameras, Cameras]
    cars: Cars


def world_batch(world: CarWorldGenerator, seed: int, indices: Tensor, device: torch.device | str = "cpu") -> WorldBatch:
    """Cars with the given indices of a seed: a pure function of (seed, index)."""
    first = world.styles(world.map(latents(seed, indices, world.z_dim)))
    other = world.styles(world.map(latents(seed + 1, indices, world.z_dim)))
    second = torch.cat([other[:, :VIEW_DIMS], first[:, VIEW_DIMS:]], dim=1)
    images, masks, cameras = zip(*(world.render_truth(styles) for styles in (first, second)), strict=True)
    cars = world.cars(first)
    cars = replace(cars, vertices=cars.vertices.to(device), faces=cars.faces.to(device))
    stacked = [torch.stack(parts, dim=1).to(device) for parts in (images, masks)]
    return WorldBatch(stacked[0], stacked[1], (cameras[0].to(device), cameras[1].to(device)), cars)


@torch.no_grad()
def reconstruct(
    network: InverseGraphicsNetwork, alignment: Alignment, batch: WorldBatch
) -> tuple[Float[Tensor, "batch verts 3"], list[RenderResult]]:
    """Reconstructs from view 0, moves the vertices to the true world, renders both views with the true cameras."""
    seen = network(batch.images[:, 0])
    vertices = alignment.points(seen.vertices)
    mesh, size = network.mesh(seen).with_vertices(vertices), batch.images.shape[-1]
    return vertices, [render(mesh, seen.texture, cameras, seen.light, size) for cameras in batch.cameras]


@torch.no_grad()
def calibrate(
    world: CarWorldGenerator, model: InverseModel, true_cameras: Cameras | None, settings: EvaluationSettings
) -> Alignment:
    """The model's one alignment, from its cameras and then from calibration cars, which are not scored.

    true_cameras: of the view codes; None if unknown (the refinement then starts from the identity).
    """
    indices = torch.arange(_FIRST_CALIBRATION_CAR, _FIRST_CALIBRATION_CAR + settings.calibration_objects)
    batch = world_batch(world, settings.seed, indices, model.network.start.device)
    start = Alignment() if true_cameras is None else from_cameras(model.cameras.all(), true_cameras)
    vertices = model.network(batch.images[:, 0]).vertices
    learned = sample_outer_surface(vertices, model.network.template.faces, _CALIBRATION_SAMPLES)
    true = sample_outer_surface(batch.cars.vertices, batch.cars.faces, _CALIBRATION_SAMPLES, seed=1)
    if model.network.config.symmetric:
        learned = learned.with_mirror_images()
    return refine(start, learned, true.with_mirror_images())


def world_scores(
    world: CarWorldGenerator,
    model: InverseModel,
    alignment: Alignment,
    true_cameras: Cameras | None,
    settings: EvaluationSettings,
) -> tuple[dict[str, Score], Float[Tensor, " cars"]]:
    """Single-image reconstruction of car-world images with 3D ground truth.

    Returns the scores by name, and the 3D IoU of every car by its number (car i is `world_batch` of index i).

    The input is a random car under a random camera. Mesh and texture are moved by ONE similarity for the whole model
    (`alignment`, estimated on other cars) and compared with the truth:

    iou_2d: silhouettes under the input's TRUE camera. iou_3d: occupancy, `VOXELS` per side. chamfer: Chamfer-L1, world
    units. f_score: at `F_SCORE_DISTANCE`. normal_consistency: mean absolute cosine of normals at nearest points.
    chroma_error: mean over both views; chroma_gray: of a gray prediction. azimuth_error_deg: of the view codes' learned
    cameras, if the true ones are known.
    """
    batches = []
    for indices in torch.arange(settings.world_objects).split(settings.batch):
        batch = world_batch(world, settings.seed, indices, model.network.start.device)
        vertices, views = reconstruct(model.network, alignment, batch)
        batches.append(_picture_metrics(batch, views) | _shape_metrics(batch, vertices, model.network))
    values = joined(batches)
    scores = scores_of(values)
    if true_cameras is not None:
        scores["azimuth_error_deg"] = Score.of(azimuth_errors(alignment, model.cameras.all(), true_cameras))
    return scores, values["iou_3d"]


def _picture_metrics(batch: WorldBatch, views: list[RenderResult]) -> dict[str, Tensor]:
    images, masks = batch.images.unbind(dim=1), (batch.masks > 0.5).to(batch.images).unbind(dim=1)
    covered = (views[0].face_index >= 0)[:, None].to(views[0].rgb)
    chroma = [chroma_error(view.rgb, image, mask) for view, image, mask in zip(views, images, masks, strict=True)]
    gray = [chroma_error(torch.zeros_like(image), image, mask) for image, mask in zip(images, masks, strict=True)]
    return {
        "iou_2d": mask_iou(covered, masks[0]),
        "chroma_error": (chroma[0] + chroma[1]) / 2,
        "chroma_gray": (gray[0] + gray[1]) / 2,
    }


def _shape_metrics(
    batch: WorldBatch, vertices: Float[Tensor, "batch verts 3"], network: InverseGraphicsNetwork
) -> dict[str, Tensor]:
    faces, cars = network.template.faces, batch.cars
    prediction = sample_outer_surface(vertices, faces, SURFACE_SAMPLES)
    truth = sample_outer_surface(cars.vertices, cars.faces, SURFACE_SAMPLES, seed=1)
    distances = SurfaceDistances.measure(prediction, truth, SURFACE_QUERIES)
    return {
        "iou_3d": voxel_iou(voxelize(vertices, faces, VOXELS), voxelize(cars.vertices, cars.faces, VOXELS)),
        "chamfer": distances.chamfer_l1,
        "f_score": distances.f_score(F_SCORE_DISTANCE),
        "normal_consistency": distances.normal_consistency,
    }
