"""Car-world pictures with 3D truth: a single image in, its shape, silhouette and colors against the true ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.distributed import own_batches
from ganverse.evaluation.alignment import Alignment, azimuth_errors, from_cameras, refine
from ganverse.evaluation.metrics import Accumulator, Score, mask_iou
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.evaluation.surfaces import SurfaceDistances, sample_outer_surface
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.voxels import voxel_iou, voxelize
from ganverse.inverse.losses import chroma_error
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.inverse.weights import InverseModel
from ganverse.random_streams import latents
from ganverse.rendering.render import RenderResult, render
from ganverse.worlds.cars import Cars
from ganverse.worlds.generator import VIEW_DIMS, CarWorldGenerator

_CALIBRATION = 1_000_000
"""Index of the first calibration car: far beyond the evaluated ones."""


@dataclass(frozen=True)
class WorldBatch:
    """Cars seen from two random cameras each; view 0 is the network's input."""

    images: Float[Tensor, "batch 2 3 height width"]
    masks: Float[Tensor, "batch 2 1 height width"]
    cameras: tuple[Cameras, Cameras]
    cars: Cars


def world_batch(world: CarWorldGenerator, seed: int, indices: Tensor, device: torch.device | str = "cpu") -> WorldBatch:
    """Cars number `indices` of a seed: a pure function of (seed, index)."""
    first = world.styles(world.map(latents(seed, indices, world.z_dim)))
    other = world.styles(world.map(latents(seed + 1, indices, world.z_dim)))
    second = torch.cat([other[:, :VIEW_DIMS], first[:, VIEW_DIMS:]], dim=1)
    images, masks, cameras = zip(*(world.render_truth(styles) for styles in (first, second)), strict=True)
    cars = world.cars(first)
    cars = replace(cars, vertices=cars.vertices.to(device), faces=cars.faces.to(device))
    stacked = [torch.stack(parts, dim=1).to(device) for parts in (images, masks)]
    return WorldBatch(stacked[0], stacked[1], (cameras[0].to(device), cameras[1].to(device)), cars)


@dataclass(frozen=True)
class Aligned:
    """Reconstructions moved to the true world, and what the true cameras see of them."""

    vertices: Float[Tensor, "batch verts 3"]
    views: tuple[RenderResult, RenderResult]


@torch.no_grad()
def reconstruct(network: InverseGraphicsNetwork, alignment: Alignment, batch: WorldBatch) -> Aligned:
    """Reconstruct from view 0, align, render both views with the true cameras."""
    seen = network(batch.images[:, 0])
    vertices = alignment.points(seen.vertices)
    mesh, size = network.mesh(seen).with_vertices(vertices), batch.images.shape[-1]
    first, second = (render(mesh, seen.texture, cameras, seen.light, size) for cameras in batch.cameras)
    return Aligned(vertices, (first, second))


@torch.no_grad()
def calibrate(
    world: CarWorldGenerator, model: InverseModel, true_cameras: Cameras | None, settings: EvaluationSettings
) -> Alignment:
    """The model's one alignment, from its cameras and then from calibration cars that are evaluated nowhere.

    true_cameras: of the view codes; None = unknown, the refinement then starts from none.
    """
    indices = torch.arange(_CALIBRATION, _CALIBRATION + settings.calibration_objects)
    batch = world_batch(world, settings.seed, indices, settings.device)
    start = Alignment() if true_cameras is None else from_cameras(model.cameras.all(), true_cameras)
    vertices, count = model.network(batch.images[:, 0]).vertices, min(750, settings.surface_samples)
    learned = sample_outer_surface(vertices, model.network.template.faces, count)
    true = sample_outer_surface(batch.cars.vertices, batch.cars.faces, count, seed=1).with_mirror_images()
    if model.network.config.symmetric:
        learned = learned.with_mirror_images()
    return refine(start, learned, true)


@dataclass(frozen=True)
class WorldScores:
    """scores: by name. iou_3d: of every car, by its number (car i is `world_batch` of index i)."""

    scores: dict[str, Score]
    iou_3d: Float[Tensor, " cars"]


@dataclass(frozen=True)
class WorldTruth:
    """Protocol: car-world pictures with 3D truth, a single picture in.

    A random camera sees a random car; the network's mesh and texture are moved by ONE similarity for the whole model
    (see `alignment`, estimated on cars that are not evaluated) and compared with the truth:

    iou_2d, iou_2d_unseen: silhouettes under the TRUE cameras, the input's and another one. iou_3d: occupancy,
    `voxels` a side. chamfer: Chamfer-L1, world units. f_score: at `f_score_distance`. normal_consistency: mean absolute
    cosine of normals at nearest points. chroma_error: mean over both views; chroma_gray: of a gray prediction.
    azimuth_error_deg: of the view codes' learned cameras, where the true ones are known.
    """

    world: CarWorldGenerator
    model: InverseModel
    alignment: Alignment
    true_cameras: Cameras | None
    settings: EvaluationSettings

    def measure(self) -> WorldScores:
        """All cars; every process calls it."""
        model, settings, alignment = self.model, self.settings, self.alignment
        names = ("iou_2d", "iou_2d_unseen", "iou_3d", "chamfer", "f_score", "normal_consistency")
        found = Accumulator(*names, "chroma_error", "chroma_gray", "index")
        for indices in own_batches(settings.world_objects, settings.batch):
            batch = world_batch(self.world, settings.seed, indices, settings.device)
            aligned = reconstruct(model.network, alignment, batch)
            shapes = _shape_metrics(batch, aligned, model.network, settings)
            for name, value in (_picture_metrics(batch, aligned) | shapes).items():
                found.add(name, value)
            found.add("index", indices.to(aligned.vertices))
        values = found.values()
        order = values.pop("index").argsort()
        scores = {name: Score.of(column) for name, column in values.items()}
        if self.true_cameras is not None:
            errors = azimuth_errors(alignment, model.cameras.all(), self.true_cameras)
            scores["azimuth_error_deg"] = Score.of(errors)
        return WorldScores(scores, values["iou_3d"][order])


def _picture_metrics(batch: WorldBatch, aligned: Aligned) -> dict[str, Tensor]:
    images, masks = batch.images.unbind(dim=1), (batch.masks > 0.5).to(batch.images).unbind(dim=1)
    covered = [(view.face_index >= 0)[:, None].to(view.rgb) for view in aligned.views]
    first, second = (mask_iou(*pair) for pair in zip(covered, masks, strict=True))
    rgb = [view.rgb for view in aligned.views]
    chroma = [chroma_error(*parts) for parts in zip(rgb, images, masks, strict=True)]
    gray = [chroma_error(torch.zeros_like(image), image, mask) for image, mask in zip(images, masks, strict=True)]
    return {
        "iou_2d": first,
        "iou_2d_unseen": second,
        "chroma_error": (chroma[0] + chroma[1]) / 2,
        "chroma_gray": (gray[0] + gray[1]) / 2,
    }


def _shape_metrics(
    batch: WorldBatch, aligned: Aligned, network: InverseGraphicsNetwork, settings: EvaluationSettings
) -> dict[str, Tensor]:
    faces, cars, count = network.template.faces, batch.cars, settings.surface_samples
    occupancies = [voxelize(v, f, settings.voxels) for v, f in ((aligned.vertices, faces), (cars.vertices, cars.faces))]
    prediction = sample_outer_surface(aligned.vertices, faces, count)
    truth = sample_outer_surface(cars.vertices, cars.faces, count, seed=1)
    distances = SurfaceDistances.measure(prediction, truth, settings.surface_queries)
    return {
        "iou_3d": voxel_iou(*occupancies),
        "chamfer": distances.chamfer_l1,
        "f_score": distances.f_score(settings.f_score_distance),
        "normal_consistency": distances.normal_consistency,
    }
