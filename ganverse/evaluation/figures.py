"""The paper's kinds of figures, as labeled tables of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.control import Studio, scenes_of
from ganverse.evaluation.edits import EditReport, paint_in_chunks
from ganverse.evaluation.models import Source
from ganverse.evaluation.picture_table import Column, table
from ganverse.evaluation.world_truth import WorldBatch
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import Mesh
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.inverse.weights import InverseModel
from ganverse.neural_renderer.controls import Factor, azimuth_sweep, render_in_chunks, swap_matrix
from ganverse.neural_renderer.scenes import Scenes
from ganverse.random_streams import latents
from ganverse.rendering.render import render
from ganverse.rendering.shading import ambient_light
from ganverse.viewpoints.view_codes import mix_styles, view_styles

CELL, _SMALL_CELL = 108, 90
_RENDER = 2 * CELL
_CLAY_DISTANCE = 3.5
_NOVEL = (30.0, 120.0, 210.0, 300.0)
_ELEVATION = 15.0


@dataclass(frozen=True)
class Figure:
    """A picture of the report. name: of its file, without ending. caption: what it shows and what to look at."""

    name: str
    title: str
    caption: str
    image: Image.Image


@torch.no_grad()
def aligned_views(
    name: str, source: Source, objects: int, seed: int, *, columns: int = 12, device: torch.device | str = "cpu"
) -> Figure:
    """Rows: objects. Columns: view codes."""
    order = source.codes.azimuth_degrees.argsort(stable=True)
    chosen = order[torch.linspace(0, len(order) - 1, min(columns, len(order))).round().long()]
    generator, views = source.generator, view_styles(source.generator, source.codes, device=device)[chosen]
    content = generator.styles(generator.map(latents(seed, range(objects), generator.z_dim).to(device)))
    styles = [mix_styles(content, view.expand(objects, -1), source.codes.view_dims) for view in views]
    headings = [f"{azimuth:.0f}°" for azimuth in source.codes.azimuth_degrees[chosen].tolist()]
    pictures = [Column(h, generator.synthesize(s).detach()) for h, s in zip(headings, styles, strict=True)]
    caption = (
        "Each row is one content code, each column one view code with its annotated azimuth: a column"
        " should show one viewpoint, a row one car."
    )
    return Figure(
        name, title(name, "aligned views"), caption, table(pictures, rows=_numbers(objects), cell=_SMALL_CELL)
    )


@torch.no_grad()
def reconstructions(name: str, model: InverseModel, batch: MultiViewBatch) -> Figure:
    """Input, its re-rendering, an unseen view as it is and rendered, novel views, shape alone, texture."""
    network = model.network
    seen = network(batch.images[:, 0])
    own, other = (model.cameras(batch.view_ids[:, view]) for view in (0, 1))
    columns = [
        Column("input", batch.images[:, 0]),
        Column("re-rendered", textured(network.mesh(seen), seen, own, _RENDER)),
        Column("other view, as generated", batch.images[:, 1]),
        Column("other view, rendered", textured(network.mesh(seen), seen, other, _RENDER)),
        *_novel(network, seen, model.cameras.all().distance.max()),
    ]
    caption = (
        "Held-out objects from one picture (left). The other view was not shown to the network; the"
        " novel views and the gray shape are rendered from the mesh; the texture is its UV chart, roof in the center."
    )
    return Figure(name, title(name, "reconstructions"), caption, table(columns, rows=_numbers(len(batch)), cell=CELL))


@torch.no_grad()
def world_reconstructions(
    name: str, network: InverseGraphicsNetwork, alignment: Alignment, batch: WorldBatch
) -> Figure:
    """Against the truth: silhouettes, unseen view and shape of cars, under the true cameras after the alignment."""
    seen = network(batch.images[:, 0])
    mesh = network.mesh(seen).with_vertices(alignment.points(seen.vertices))
    cars = batch.cars
    truth = Mesh(cars.vertices, cars.faces, torch.zeros(len(cars.faces), 3, 2, device=cars.vertices.device))
    front, rear = (
        orbit(azimuth, mesh.vertices.new_full((len(cars.vertices),), _CLAY_DISTANCE)) for azimuth in (30.0, 210.0)
    )
    columns = [
        Column("input", batch.images[:, 0]),
        Column("re-rendered", textured(mesh, seen, batch.cameras[0], _RENDER)),
        Column("unseen view, true", batch.images[:, 1]),
        Column("unseen view, rendered", textured(mesh, seen, batch.cameras[1], _RENDER)),
        Column("shape, front", clay(mesh, front, _RENDER)),
        Column("true shape, front", clay(truth, front, _RENDER)),
        Column("shape, rear", clay(mesh, rear, _RENDER)),
        Column("true shape, rear", clay(truth, rear, _RENDER)),
    ]
    caption = (
        "Car-world pictures with known shapes. One similarity for the whole model (never per object) takes the learned"
        f" world to the true one: {alignment}. Cameras are the true ones."
    )
    return Figure(
        name, title(name, "against the truth"), caption, table(columns, rows=_numbers(len(cars.vertices)), cell=CELL)
    )


@torch.no_grad()
def control_figures(studio: Studio, batch: MultiViewBatch, azimuths: int = 12) -> list[Figure]:
    """Camera rows, the two renderers side by side, and a swap table per factor."""
    scenes = scenes_of(studio.model, batch)
    degrees = [360 * step / azimuths for step in range(azimuths)]
    sweep = azimuth_sweep(scenes, studio.model.cameras.all(), degrees)
    neural = render_in_chunks(studio.renderer, sweep).unflatten(0, (len(scenes), azimuths))
    headings = [f"{degree:.0f}°" for degree in degrees]
    first = Column("generated", batch.images[:, 0])
    rows = [first, *(Column(h, neural[:, i]) for i, h in enumerate(headings))]
    camera = Figure(
        "stylegan-r-camera",
        "StyleGAN-R: camera control",
        "The picture of the GAN (left), then shape, texture and background read from it,"
        " rendered at azimuths all round.",
        table(rows, rows=_numbers(len(scenes)), cell=_SMALL_CELL),
    )
    return [camera, _dual(studio, sweep, neural, headings), *(_swap(studio, scenes, f) for f in _FACTORS)]


_FACTORS: tuple[Factor, ...] = ("shape", "texture", "background")


def _dual(studio: Studio, sweep: Scenes, neural: Tensor, headings: Sequence[str]) -> Figure:
    mesh = studio.model.network.template.with_vertices(sweep.vertices)
    drawn = render(mesh, sweep.texture, sweep.cameras, size=neural.shape[-1])
    graphics = (drawn.rgb + (drawn.face_index < 0)[:, None]).unflatten(0, neural.shape[:2])
    both = torch.stack([graphics, neural], dim=1).flatten(0, 1)
    labels = [f"{i + 1} {kind}" for i in range(len(neural)) for kind in ("DIB-R", "StyleGAN-R")]
    return Figure(
        "dual-renderers",
        "Two renderers, one scene",
        "Mesh and texture through DIB-R (on white), and through StyleGAN-R.",
        table([Column(h, both[:, i]) for i, h in enumerate(headings)], rows=labels, cell=_SMALL_CELL),
    )


def _swap(studio: Studio, scenes: Scenes, factor: Factor) -> Figure:
    count = len(scenes)
    own = render_in_chunks(studio.renderer, scenes)
    swapped = render_in_chunks(studio.renderer, swap_matrix(scenes, factor)).unflatten(0, (count, count))
    columns = [Column("own", own), *(Column(f"{factor} of {j + 1}", swapped[:, j]) for j in range(count))]
    caption = f"Row i keeps everything of scene i but takes the {factor} of the column's scene."
    return Figure(
        f"swap-{factor}",
        f"StyleGAN-R: swap of the {factor}",
        caption,
        table(columns, rows=_numbers(count), cell=_SMALL_CELL),
    )


@torch.no_grad()
def edit_figure(studio: Studio, report: EditReport) -> Figure:
    """Per picture: painted again in three ways, turned in two, and repainted with the next picture's parts."""
    count, scenes = len(report.pictures), report.refined.scenes
    following = torch.arange(1, count + 1, device=report.pictures.device) % count
    swaps = {
        "texture": scenes.swapped(texture=following),
        "background": scenes.swapped(background=following),
        "shape": scenes.swapped(shape=following),
    }
    columns = [
        Column("picture", report.pictures),
        *(Column(f"painted again, {way}", images) for way, images in report.painted.items()),
    ]
    for way in ("refined", "projected"):
        turned = report.turned[way].images.unflatten(0, (count, -1))
        columns += [Column(f"{way}, turned", turned[:, turn]) for turn in range(turned.shape[1])]
    for name, swapped in swaps.items():
        images = paint_in_chunks(studio.renderer, report.refined.edited(swapped))
        columns.append(Column(f"next one's {name}", images))
    return Figure(
        "edits",
        "Real pictures, edited",
        "Car-world pictures that no network was trained on here. Read: shape, texture, background and camera from the"
        " picture. Refined: content styles corrected. Projected: plain latent optimization, turned by view codes.",
        table(columns, rows=_numbers(count), cell=_SMALL_CELL),
    )


def _novel(network: InverseGraphicsNetwork, seen: Reconstruction, distance: Tensor) -> list[Column]:
    mesh, count = network.mesh(seen), len(seen.vertices)
    cameras = {azimuth: orbit(azimuth, distance.expand(count)) for azimuth in _NOVEL}
    return [
        *(Column(f"{azimuth:.0f}°", textured(mesh, seen, camera, _RENDER)) for azimuth, camera in cameras.items()),
        Column("shape, front", clay(mesh, cameras[30.0], _RENDER)),
        Column("shape, rear", clay(mesh, cameras[210.0], _RENDER)),
        Column("texture", seen.texture),
    ]


def textured(mesh: Mesh, seen: Reconstruction, cameras: Cameras, size: int) -> Float[Tensor, "batch 3 size size"]:
    """Meshes with the reconstruction's textures and light, on white."""
    drawn = render(mesh, seen.texture, cameras, seen.light, size)
    return drawn.rgb + (drawn.face_index < 0)[:, None]


def clay(mesh: Mesh, cameras: Cameras, size: int) -> Float[Tensor, "batch 3 size size"]:
    """Shapes alone: light gray, lit from above and in front, on white."""
    light = 0.75 * ambient_light(len(cameras), mesh.vertices.device)
    light[:, 1:4] = light.new_tensor([0.30, 0.15, 0.15])
    gray = mesh.vertices.new_full((len(cameras), 3, 4, 4), 0.75)
    drawn = render(mesh, gray, cameras, light, size)
    return drawn.rgb + (drawn.face_index < 0)[:, None]


def orbit(azimuth: float, distance: Float[Tensor, " batch"]) -> Cameras:
    """One azimuth (degrees) for all, 15 degrees up."""
    count = len(distance)
    return Cameras.from_degrees([azimuth] * count, [_ELEVATION] * count, distance, device=distance.device)


def title(name: str, kind: str) -> str:
    """Whose figure it is, by the first word of its name."""
    owners = {
        "gan": "Embedded GAN",
        "world": "Trained on the GAN",
        "oracle": "Oracle",
        "pascal3d": "Pascal3D+",
        "photos": "Photos",
    }
    return f"{owners.get(name.split('-')[0], name)}: {kind}"


def _numbers(count: int) -> list[str]:
    return [str(i + 1) for i in range(count)]
