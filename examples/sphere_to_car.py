"""Fits a sphere to a car: `python examples/sphere_to_car.py` (half a minute on two CPU cores).

The input is twenty-four images of a car of the procedural world, with masks and known cameras. Every step renders the
mesh from all of them and moves vertices and texture along the gradient. Prints the quality of the shape and writes
`sphere_to_car.png` (rows: images, then the mesh after more and more steps) and `sphere_to_car.gif` (all steps).
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import Mesh, sphere_template
from ganverse.geometry.regularizers import Adjacency, flatten_loss, low_pass
from ganverse.geometry.voxels import voxel_iou, voxelize
from ganverse.rendering import RenderResult, SoftMaskSettings, render
from ganverse.worlds.generator import CarWorldGenerator, world_samples

VIEWS = 24
SHOWN = (0, 3, 6, 9, 13, 16, 19, 22)


@dataclass(frozen=True)
class Photographs:
    """What there is to see: pictures and masks of one car, the cameras, and (for the score only) its true voxels."""

    images: Tensor
    masks: Tensor
    cameras: Cameras
    truth: Tensor


@dataclass(frozen=True)
class Fit:
    """Where it ended: scores in [0, 1], seconds, and the mesh as seen on the way."""

    silhouette_iou: float
    solid_iou: float
    seconds: float
    frames: list[Image.Image]


def photograph(car: int, size: int) -> Photographs:
    """Twenty-four pictures round a car, from two heights."""
    world = CarWorldGenerator(size)
    styles, _, _ = world_samples(0, torch.tensor([car]), world)
    azimuth = torch.arange(VIEWS) * (2 * torch.pi / VIEWS)
    views = styles.repeat(VIEWS, 1)
    views[:, 0], views[:, 1] = azimuth.sin(), azimuth.cos()
    views[:, 2] = torch.tensor([0.1, 0.9]).repeat(VIEWS // 2)
    images, masks, cameras = world.render_truth(views)
    cars = world.cars(styles)
    return Photographs(images, masks, cameras, voxelize(cars.vertices, cars.faces, 64))


class SphereToCar:
    """A sphere whose vertices and texture are the unknowns.

    Vertices move through a low pass, so that neighbors move together and no face folds over.
    """

    def __init__(self, seen: Photographs, steps: int) -> None:
        self.seen, self.steps = seen, steps
        self.sphere = sphere_template(3)
        self.start = 0.5 * self.sphere.vertices
        self.smooth = low_pass(self.sphere.faces, 8.0)
        self.adjacency = Adjacency.build(self.sphere.faces)
        self.offsets = torch.zeros_like(self.start, requires_grad=True)
        self.texels = torch.zeros(1, 3, 64, 64, requires_grad=True)
        self.optimizer = torch.optim.Adam(
            [{"params": [self.offsets], "lr": 0.03}, {"params": [self.texels], "lr": 0.05}], betas=(0.9, 0.95)
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps, eta_min=1e-3)

    def mesh(self) -> Mesh:
        """The sphere as it is by now."""
        return self.sphere.with_vertices(self.start + self.smooth @ self.offsets)

    def draw(self, cameras: Cameras, size: int, silhouette: SoftMaskSettings, samples: int = 1) -> RenderResult:
        """The mesh from these cameras."""
        meshes = self.mesh().repeat_interleave(len(cameras))
        texture = self.texels.sigmoid().expand(len(cameras), -1, -1, -1)
        return render(meshes, texture, cameras, size=size, silhouette=silhouette, samples=samples)

    def step(self, done: int) -> None:
        """One step downhill, from all views at once; the rim starts soft and far-reaching and ends sharp."""
        progress = min(1.0, 1.5 * done / self.steps)
        rim = SoftMaskSettings(sigmainv=2000.0 * 7.5**progress, boxlen=0.08 - 0.045 * progress)
        drawn = self.draw(self.seen.cameras, self.seen.images.shape[-1], rim)
        masks = self.seen.masks
        both = drawn.alpha * masks
        shape = 1 - (both.sum((1, 2, 3)) / (drawn.alpha + masks - both).sum((1, 2, 3))).mean()
        color = ((drawn.rgb - self.seen.images) * masks * (drawn.face_index >= 0)[:, None]).abs().mean()
        folds = flatten_loss(self.mesh().vertices, self.sphere.faces, self.adjacency).mean()
        self.optimizer.zero_grad()
        (shape + color + 0.2 * folds).backward()
        self.optimizer.step()
        self.schedule.step()

    @torch.no_grad()
    def scores(self) -> tuple[float, float]:
        """IoU of silhouettes over all views, and of solids."""
        size = self.seen.images.shape[-1]
        covered = self.draw(self.seen.cameras, size, SoftMaskSettings()).face_index >= 0
        masks = self.seen.masks[:, 0] > 0.5
        flat = ((covered & masks).sum((1, 2)) / (covered | masks).sum((1, 2))).mean()
        solid = voxelize(self.mesh().vertices, self.sphere.faces, 64)
        return flat.item(), voxel_iou(solid, self.seen.truth).item()

    @torch.no_grad()
    def frame(self) -> Image.Image:
        """The shown views side by side, on white."""
        cameras = self.seen.cameras[torch.tensor(SHOWN)]
        no_rim = SoftMaskSettings(sigmainv=1e9, boxlen=0.0)  # alpha is then the share of a pixel that is covered
        drawn = self.draw(cameras, self.seen.images.shape[-1], no_rim, samples=2)
        return side_by_side(drawn.rgb + 1 - drawn.alpha)


def side_by_side(images: Tensor, zoom: int = 2) -> Image.Image:
    """Pictures (n, 3, h, w) in [0, 1] in a row."""
    row = (images.clamp(0, 1) * 255).byte().permute(2, 0, 3, 1).flatten(1, 2).contiguous().numpy()
    picture = Image.fromarray(row)
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.BICUBIC)


def fit(seen: Photographs, steps: int, frames: int = 40) -> Fit:
    """Optimize; keeps about `frames` pictures of the way."""
    model = SphereToCar(seen, steps)
    pictures = [model.frame()]
    began = time.perf_counter()
    for done in track(range(steps), description="sphere -> car"):
        model.step(done)
        if (done + 1) % max(steps // frames, 1) == 0:
            pictures.append(model.frame())
    seconds = time.perf_counter() - began
    return Fit(*model.scores(), seconds, pictures)


def write_pictures(seen: Photographs, frames: list[Image.Image], folder: Path) -> None:
    """The contact sheet and the animation."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [frames[round(share * (len(frames) - 1))] for share in (0, 0.025, 0.075, 0.2, 1)]
    rows = [side_by_side(seen.images[list(SHOWN)]), *chosen]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)))
    for i, row in enumerate(rows):
        sheet.paste(row, (0, i * row.height))
    sheet.save(folder / "sphere_to_car.png")
    frames[0].save(folder / "sphere_to_car.gif", save_all=True, append_images=frames[1:], duration=100, loop=0)


def main(arguments: Sequence[str] | None = None) -> Fit:
    """Photograph, fit, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--car", type=int, default=3, help="number of the car")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--size", type=int, default=64, help="image size in pixels")
    parser.add_argument("--out", type=Path, default=Path("runs/sphere_to_car"), help="output folder")
    options = parser.parse_args(arguments)
    seen = photograph(options.car, options.size)
    result = fit(seen, options.steps)
    write_pictures(seen, result.frames, options.out)
    print(
        f"silhouette IoU {result.silhouette_iou:.3f}, 3D IoU {result.solid_iou:.3f}, {result.seconds:.1f} s;"
        f" pictures in {options.out}"
    )
    return result


if __name__ == "__main__":
    main()
