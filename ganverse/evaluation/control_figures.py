"""Figures of StyleGAN-R: rotations, ladders, swaps, worst images, and edits of real images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.evaluation.control import LADDER_STEPS, Images, Studio, next_index
from ganverse.evaluation.edits import EditedImages
from ganverse.evaluation.figures import Figure, numbers
from ganverse.evaluation.picture_table import Column, table
from ganverse.geometry.cameras import angular_difference
from ganverse.geometry.meshes import Mesh
from ganverse.neural_renderer.controls import (
    Factor,
    azimuth_sweep,
    ladders,
    render_in_chunks,
    render_meshes,
    swap_matrix,
    under_each,
)
from ganverse.neural_renderer.refinement import render_refined
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes

CELL = 90
_LADDER_AZIMUTH = 60.0
_SHOWN_FAILURES = 12
FACTORS: tuple[Factor, ...] = ("shape", "texture", "background")


@torch.no_grad()
def control_figures(studio: Studio, batch: MultiViewBatch, azimuths: int = 12) -> list[Figure]:
    """All figures for a batch of at least two objects; images have the generator's aspect ratio."""
    scenes = studio.scenes(batch)
    sweep = azimuth_sweep(scenes, studio.model.cameras.all(), [360 * step / azimuths for step in range(azimuths)])
    images = render_in_chunks(studio.renderer, sweep)
    generated, template = studio.renderer.framing.invert(batch.images[:, 0]), studio.model.network.template
    own = render_in_chunks(studio.renderer, scenes)
    return [
        Figure(
            "stylegan-r-camera",
            "StyleGAN-R: camera control",
            "The GAN's image (left), then its predicted shape, texture and background over a full rotation, rendered "
            "by StyleGAN-R and, mesh and texture on white, by DIB-R.",
            rotation_table(studio.renderer, template, generated, sweep, images),
        ),
        *(
            Figure(
                f"swap-{factor}",
                f"StyleGAN-R: {factor} swaps",
                f"Row i shows scene i with the {factor} of the column's scene.",
                swap_table(studio.renderer, scenes, own, factor),
            )
            for factor in FACTORS
        ),
        _ladders(studio, scenes),
        _failures(studio, sweep, images),
    ]


def rotation_table(
    renderer: StyleGANR,
    template: Mesh,
    generated: Float[Tensor, "scenes 3 height width"],
    sweep: Scenes,
    images: Images,
) -> Image.Image:
    """Rows: every scene through both renderers. Columns: the GAN's image, then the `images` of the `sweep`."""
    graphics, count = render_meshes(renderer, template, sweep), len(generated)
    both = torch.stack([x.unflatten(0, (count, -1)) for x in (images, graphics)], dim=1).flatten(0, 1)
    degrees = sweep.cameras.azimuth[: both.shape[1]].rad2deg().tolist()
    columns = [Column(f"{degree:.0f}°", both[:, i]) for i, degree in enumerate(degrees)]
    labels = [f"{i + 1} {kind}" for i in range(count) for kind in ("StyleGAN-R", "DIB-R")]
    return table([Column("generated", generated.repeat_interleave(2, dim=0)), *columns], rows=labels, cell=CELL)


def swap_table(
    renderer: StyleGANR, scenes: Scenes, own: Float[Tensor, "scenes 3 height width"], factor: Factor
) -> Image.Image:
    """Rows: scenes, their own images in the first column. Columns: source of the factor."""
    count = len(scenes)
    swapped = render_in_chunks(renderer, swap_matrix(scenes, factor)).unflatten(0, (count, count))
    columns = [Column("own", own), *(Column(f"{factor} of {j + 1}", swapped[:, j]) for j in range(count))]
    return table(columns, rows=numbers(count), cell=CELL)


def _ladders(studio: Studio, scenes: Scenes) -> Figure:
    """Rows: scenes. Columns: rising elevations, then growing distances, at one azimuth."""
    views = studio.model.cameras.all()
    columns: list[Column] = []
    rising, receding = ladders(views, [_LADDER_AZIMUTH], LADDER_STEPS)
    headings = [f"elevation {elevation:.0f}°" for elevation in rising.elevation.rad2deg().tolist()]
    headings += [f"distance {distance:.2f}" for distance in receding.distance.tolist()]
    for cameras in (rising, receding):
        images = render_in_chunks(studio.renderer, under_each(scenes, cameras)).unflatten(0, (len(scenes), -1))
        columns += [Column(headings[len(columns) + step], images[:, step]) for step in range(LADDER_STEPS)]
    return Figure(
        "stylegan-r-ladders",
        "StyleGAN-R: elevation and scale",
        "Elevations from the lowest to the highest of the view codes; distances two standard deviations to either "
        f"side of the typical one. Azimuth {_LADDER_AZIMUTH:.0f}°.",
        table(columns, rows=numbers(len(scenes)), cell=CELL),
    )


def _failures(studio: Studio, sweep: Scenes, images: Images) -> Figure:
    """Images of a full rotation with the largest azimuth errors, worst first."""
    measured = studio.probes.pose(studio.renderer.framing.apply(images)).azimuth
    error = angular_difference(measured, sweep.cameras.azimuth).abs()
    worst = error.argsort(descending=True)[:_SHOWN_FAILURES]
    requested, found = (angle.rad2deg().remainder(360) for angle in (sweep.cameras.azimuth, measured))
    columns = [
        Column(f"requested {requested[i]:.0f}°, measured {found[i]:.0f}°", images[i : i + 1]) for i in worst.tolist()
    ]
    flipped = (error > torch.pi / 2).float().mean().item()
    return Figure(
        "stylegan-r-failures",
        "StyleGAN-R: worst images",
        f"The largest azimuth errors of {len(images)} images over full rotations. {flipped:.0%} of all show the wrong "
        "end of the object.",
        table(columns, cell=CELL),
    )


@torch.no_grad()
def edit_figure(studio: Studio, edited: EditedImages) -> Figure:
    """For each image: three reconstructions, two rotations, and parts of the next image."""
    count, scenes = len(edited.images), edited.refined.scenes
    index = next_index(count, studio.device)
    columns = [
        Column("image", studio.renderer.framing.invert(edited.images)),
        *(Column(f"reconstructed, {way}", images) for way, images in edited.reconstructed.items()),
    ]
    for way in ("refined", "projected"):
        rotated = edited.rotated[way].unflatten(0, (count, -1))
        columns += [Column(f"{way}, rotated", rotated[:, turn]) for turn in range(rotated.shape[1])]
    for factor in ("texture", "background", "shape"):
        swapped = edited.refined.edited(scenes.swapped(**{factor: index}))
        columns.append(Column(f"{factor} of the next", render_refined(studio.renderer, swapped)))
    return Figure(
        "edits",
        "Real images, edited",
        "Car-world images that were not used in any training. Read: shape, texture, background and camera predicted "
        "from the image. Refined: content styles corrected. Projected: plain latent optimization, rotated by view "
        "codes.",
        table(columns, rows=numbers(count), cell=CELL),
    )
