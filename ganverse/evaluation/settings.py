"""What is evaluated, and on how many objects."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ganverse.pretrained import SHIPPED

HELD_OUT_SEED = 982_451_653
"""Seed of all evaluation samples; no training stream uses it (their seeds are small numbers)."""


@dataclass(frozen=True)
class ModelPaths:
    """Weights to evaluate, each a .safetensors file with its card; what is null is left out of the table.

    generator: the image GAN.
    view_codes: its view codes (YAML).
    inverse: network and cameras trained on the GAN.
    oracle: the same trained on the car world.
    stylegan_r: the neural renderer; needs `generator`, `view_codes` and `inverse`.
    segmenter: masks of GAN images.
    mask_rcnn: COCO category whose masks torchvision's Mask R-CNN finds in them, instead of a segmenter.
    shards: folder of the data's own samples, whose last ones were kept out of training: the held-out objects where
        masks come from files and there are none of new pictures.
    pose_regressor: the measuring stick of viewpoints.
    """

    generator: Path | None = None
    view_codes: Path | None = None
    inverse: Path | None = None
    oracle: Path | None = None
    stylegan_r: Path | None = None
    segmenter: Path | None = None
    mask_rcnn: str | None = None
    shards: Path | None = None
    pose_regressor: Path | None = None

    @classmethod
    def shipped(cls, folder: Path = SHIPPED) -> ModelPaths:
        """Those of the car weights inside the package that are there."""
        names = {one.name: f"{one.name.replace('_', '-')}-car.safetensors" for one in fields(cls)}
        names |= {"generator": "gan-car.safetensors", "view_codes": "gan-car-views.yaml"}
        found: dict[str, Any] = {kind: folder / name for kind, name in names.items() if (folder / name).is_file()}
        return cls(**found)


@dataclass(frozen=True)
class Photographs:
    """Real photos to evaluate on, none by default.

    folder: of pictures, one object each. masks: folder of PNGs in which the object is white, named like the photos;
    null = no numbers, a sheet alone. pascal3d: root of Pascal3D+ release 1.1. pascal3d_masks: segkps/CATEGORY.mat, the
    polygons of the CMR protocol; null takes VOC's own segmentation, which fewer objects have. category: of Pascal3D+.
    refine: steps of test-time refinement for a second pair of numbers; 0 leaves it out.
    """

    folder: Path | None = None
    masks: Path | None = None
    pascal3d: Path | None = None
    pascal3d_masks: Path | None = None
    category: str = "car"
    refine: int = 30


@dataclass(frozen=True)
class EvaluationSettings:
    """How much is measured; the defaults take a few minutes on two CPU cores.

    seed: of the held-out samples.
    held_out_objects: objects of the GAN (and of the oracle's world), each with one input view and `unseen_views` others.
    unseen_views: other view codes per object.
    world_objects: cars of the world with 3D truth; 0 for networks that know other things than cars.
    calibration_objects: further cars, from which the alignment is estimated.
    identity_objects: objects per view code whose pose, proportions and paint are read.
    control_objects: scenes that StyleGAN-R turns and swaps.
    control_azimuths: cameras all round per scene.
    quality_images: pictures on each side of a Frechet distance.
    edited_pictures: car-world pictures that are taken for real photos, painted again by StyleGAN-R and turned.
    edit_steps: of refinement and of plain latent optimization, each.
    voxels: per side of the occupancy grid over [-1, 1]^3.
    surface_samples, surface_queries: points that stand for a surface, and how many of them are measured from.
    f_score_distance: threshold of the F-score, world units (a car is 1.8 long).
    figure_objects: rows of the figures.
    sheet_objects: cars on the comparison sheet, from the best to the worst of the world objects.
    photographs: real photos.
    batch: objects at a time.
    device: where everything runs.
    """

    seed: int = HELD_OUT_SEED
    held_out_objects: int = 200
    unseen_views: int = 3
    world_objects: int = 200
    calibration_objects: int = 24
    identity_objects: int = 100
    control_objects: int = 32
    control_azimuths: int = 12
    quality_images: int = 1000
    edited_pictures: int = 8
    edit_steps: int = 60
    voxels: int = 64
    surface_samples: int = 4000
    surface_queries: int = 1000
    f_score_distance: float = 0.05
    figure_objects: int = 6
    sheet_objects: int = 12
    photographs: Photographs = field(default_factory=Photographs)
    batch: int = 16
    device: str = "cpu"
