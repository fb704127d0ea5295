"""Figures of generators and inverse networks, as labeled tables of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.data.sources import Source
from ganverse.devices import device_of
from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.picture_table import Column, table
from ganverse.evaluation.world_truth import world_batch
from ganverse.generators.framing import unframed
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import Mesh
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.inverse.weights import InverseModel
from ganverse.random_streams import latents
from ganverse.reconstruction.photos import FoundObject
from ganverse.reconstruction.texture import carry_on
from ganverse.rendering import ambient_light, render
from ganverse.viewpoints.view_codes import mix_styles, view_styles
from ganverse.worlds.generator import MAX_ELEVATION_DEGREES, VIEW_DIMS, CarWorldGenerator

SHEET_ROWS, WORST = 12, 3
"""Rows of a world sheet, and how many of them show the worst cars."""
_CELL, _SMALL_CELL = 108, 90
_RENDER = 2 * _CELL
"""Row height in pixels in reconstruction figures, including the gap; headings are above."""
_CLAY_DISTANCE = 3.5
_NOVEL, _NOVEL_ELEVATION = (30.0, 120.0, 210.0, 300.0), 15.0
_SHEET, _SHEET_ELEVATION = (45.0, 135.0, 225.0, 315.0), 12.0
_OWNERS = {
    "gan": "The GAN",
    "world": "Trained on the GAN",
    "oracle": "Oracle",
    "pascal3d": "Pascal3D+",
    "photos": "Photos",
}


@dataclass(frozen=True)
class Figure:
    """An image of the report. name: of its file, without ending. caption: what it shows."""

    name: str
    title: str
    caption: str
    image: Image.Image


def _figure(name: str, kind: str, caption: str, image: Image.Image) -> Figure:
    """Titles a figure after its owner, the first word of its name."""
    return Figure(name, f"{_OWNERS[name.split('-')[0]]}: {kind}", caption, image)


@torch.no_grad()
def aligned_views(name: str, source: Source, objects: int, seed: int, *, columns: int = 12) -> Figure:
    """Rows: objects. Columns: view codes."""
    order = source.codes.azimuth_degrees.argsort(stable=True)
    chosen = order[torch.linspace(0, len(order) - 1, min(columns, len(order))).round().long()]
    generator, device = source.generator, device_of(source.generator)
    views = view_styles(generator, source.codes, device=device)[chosen]
    content = generator.styles(generator.map(latents(seed, range(objects), generator.z_dim).to(device)))
    styles = [mix_styles(content, view.expand(objects, -1), source.codes.view_dims) for view in views]
    headings = [f"{azimuth:.0f}°" for azimuth in source.codes.azimuth_degrees[chosen].tolist()]
    own = unframed(generator)[0]
    pictures = [Column(h, own.synthesize(s).detach()) for h, s in zip(headings, styles, strict=True)]
    caption = (
        "Rows are objects (content codes), columns are view codes with their annotated azimuths. All images of a "
        "column should show one viewpoint, all images of a row one object."
    )
    return _figure(name, "aligned views", caption, table(pictures, rows=numbers(objects), cell=_SMALL_CELL))


def reconstructions(name: str, model: InverseModel, batch: MultiViewBatch) -> Figure:
    """See `reconstruction_table`."""
    caption = (
        "Held-out objects, each from one image (left). The network did not see the other view. The novel views and the "
        "gray shape are rendered from the mesh. The texture is its UV chart, roof in the center."
    )
    return _figure(name, "reconstructions", caption, reconstruction_table(model.network, model.cameras, batch))


@torch.no_grad()
def reconstruction_table(network: InverseGraphicsNetwork, cameras: CameraTable, batch: MultiViewBatch) -> Image.Image:
    """Input, re-render, an unseen view and its render, novel views, untextured shape, texture."""
    seen = network(batch.images[:, 0])
    mesh, distance = network.mesh(seen), cameras.all().distance.max().expand(len(batch))
    novel = {azimuth: _orbit(azimuth, _NOVEL_ELEVATION, distance) for azimuth in _NOVEL}
    headings = (("input", "re-rendered"), ("other view, as generated", "other view, rendered"))
    columns = []
    for view, (own, rendered) in zip(range(batch.images.shape[1]), headings, strict=False):
        columns.append(Column(own, batch.images[:, view]))
        columns.append(Column(rendered, textured(mesh, seen, cameras(batch.view_ids[:, view]))))
    columns += [
        *(Column(f"{azimuth:.0f}°", textured(mesh, seen, camera)) for azimuth, camera in novel.items()),
        Column("shape, front", clay(mesh, novel[30.0])),
        Column("shape, rear", clay(mesh, novel[210.0])),
        Column("texture", seen.texture),
    ]
    return table(columns, rows=numbers(len(batch)), cell=_CELL)


def best_to_worst(scores: Float[Tensor, " objects"], rows: int) -> Int[Tensor, " chosen"]:
    """Indices by falling score: the worst three, and the others spaced evenly from the best."""
    order = scores.argsort(descending=True, stable=True)
    if rows >= len(order):
        return order
    worst = min(WORST, rows - 1)
    spread = torch.linspace(0, len(order) - worst - 1, rows - worst).round().long()
    return torch.cat([order[spread], order[len(order) - worst :]])


@torch.no_grad()
def world_sheet(
    name: str,
    network: InverseGraphicsNetwork,
    alignment: Alignment,
    seed: int,
    iou_3d: Float[Tensor, " cars"],
    rows: int = SHEET_ROWS,
) -> Figure:
    """Rows: cars of the world from best to worst 3D IoU. Columns: input, re-render, four novel views and the
    untextured shape, each beside the true one, under true cameras after the alignment."""
    chosen, device = best_to_worst(iou_3d.cpu(), rows), network.start.device
    batch = world_batch(CarWorldGenerator(network.config.resolution), seed, chosen, device)
    seen = network(batch.images[:, 0])
    mesh = network.mesh(seen).with_vertices(alignment.points(seen.vertices))
    columns = [Column("input", batch.images[:, 0]), Column("re-rendered", textured(mesh, seen, batch.cameras[0]))]
    for azimuth in _SHEET:
        picture, cameras = _true_view(seed, chosen, azimuth)
        columns.append(Column(f"{azimuth:.0f}°", textured(mesh, seen, cameras.to(device))))
        columns.append(Column(f"{azimuth:.0f}° true", picture))
    truth = Mesh(batch.cars.vertices, batch.cars.faces, torch.zeros(len(batch.cars.faces), 3, 2, device=device))
    front = _orbit(_NOVEL[0], _NOVEL_ELEVATION, mesh.vertices.new_full((len(chosen),), _CLAY_DISTANCE))
    columns += [Column("shape", clay(mesh, front)), Column("true shape", clay(truth, front))]
    labels = [f"{iou_3d[index]:.3f}" for index in chosen.tolist()]
    caption = (
        f"{len(chosen)} of {len(iou_3d)} cars by 3D IoU (left): the best at the top, the worst {WORST} at the bottom, "
        "the others evenly spaced. The input is a single image; renders are beside the true views, under the true "
        f"cameras. One similarity for the whole model (never per object) maps the learned world to the true one: "
        f"{alignment}."
    )
    return _figure(name, "from the best to the worst", caption, table(columns, rows=labels, cell=_CELL))


def _true_view(
    seed: int, indices: Int[Tensor, " cars"], azimuth: float
) -> tuple[Float[Tensor, "cars 3 height width"], Cameras]:
    world = CarWorldGenerator(_CELL)
    styles = world.styles(world.map(latents(seed, indices, world.z_dim)))
    angle = torch.tensor(azimuth).deg2rad()
    view = torch.tensor([angle.sin(), angle.cos(), _SHEET_ELEVATION / MAX_ELEVATION_DEGREES, 0.0])
    images, _, cameras = world.render_truth(torch.cat([view.expand(len(styles), -1), styles[:, VIEW_DIMS:]], dim=1))
    return images, cameras


@torch.no_grad()
def photo_sheet(
    name: str, network: InverseGraphicsNetwork, found: Sequence[FoundObject], labels: Sequence[str]
) -> Figure:
    """Rows: photos. Columns: the square, its mask, re-render, four novel views, shape, texture."""
    device = network.start.device
    photos, masks = (torch.cat([getattr(one, part)(_CELL).to(device) for one in found]) for part in ("picture", "mask"))
    size = network.config.resolution
    pictures, outlines = (torch.cat([getattr(one, p)(size).to(device) for one in found]) for p in ("picture", "mask"))
    seen = network(pictures, paint=carry_on(pictures, outlines))
    mesh, distance = network.mesh(seen), seen.camera.distance
    novel = {azimuth: _orbit(azimuth, _NOVEL_ELEVATION, distance) for azimuth in _SHEET}
    columns = [
        Column("photo", photos),
        Column("mask", masks.expand(-1, 3, -1, -1)),
        Column("re-rendered", textured(mesh, seen, seen.camera)),
        *(Column(f"{azimuth:.0f}°", textured(mesh, seen, camera)) for azimuth, camera in novel.items()),
        Column("shape", clay(mesh, novel[_SHEET[0]])),
        Column("texture", seen.texture),
    ]
    caption = "Single photos under the predicted camera; the novel views are rendered from the mesh."
    return _figure(name, "photos", caption, table(columns, rows=list(labels), cell=_CELL))


def textured(mesh: Mesh, seen: Reconstruction, cameras: Cameras) -> Float[Tensor, "batch 3 size size"]:
    """Meshes with the reconstruction's textures and light, on white."""
    rendered = render(mesh, seen.texture, cameras, seen.light, _RENDER)
    return rendered.rgb + (rendered.face_index < 0)[:, None]


def clay(mesh: Mesh, cameras: Cameras) -> Float[Tensor, "batch 3 size size"]:
    """Untextured light gray meshes, lit from above and in front, on white."""
    light = 0.75 * ambient_light(len(cameras), mesh.vertices.device)
    light[:, 1:4] = light.new_tensor([0.30, 0.15, 0.15])
    gray = mesh.vertices.new_full((len(cameras), 3, 4, 4), 0.75)
    rendered = render(mesh, gray, cameras, light, _RENDER)
    return rendered.rgb + (rendered.face_index < 0)[:, None]


def _orbit(azimuth: float, elevation: float, distance: Float[Tensor, " batch"]) -> Cameras:
    """The same direction (degrees) for all."""
    count = len(distance)
    return Cameras.from_degrees([azimuth] * count, [elevation] * count, distance, device=distance.device)


def numbers(count: int) -> list[str]:
    """Row labels 1 .. count."""
    return [str(i + 1) for i in range(count)]
