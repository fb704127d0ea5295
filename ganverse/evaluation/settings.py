"""Evaluation settings: number of objects per part, photos, device."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ganverse.errors import AT_LEAST_1, GanverseError, check_ranges

HELD_OUT_SEED = 982_451_653
"""Seed of all evaluation samples, not used by any training stream (their seeds are small)."""


@dataclass(frozen=True)
class Photographs:
    """Real photos to evaluate on; none by default."""

    folder: Path | None = None
    """Folder of photos with one object each."""
    masks: Path | None = None
    """Folder of PNG masks with the photos' names, white on the object. Without it, photos are not scored."""
    pascal3d: Path | None = None
    """Root of Pascal3D+ release 1.1."""
    pascal3d_masks: Path | None = None
    """segkps/CATEGORY.mat, polygons of the CMR protocol. Default: VOC's own masks, which fewer objects have."""
    category: str = "car"
    """Category of Pascal3D+."""
    refine: int = 30
    """Steps of test-time refinement for the `*_refined` scores. 0 omits them."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class EvaluationSettings:
    """Size of the evaluation. 0 objects or images omit a part. The defaults take minutes on two CPU cores."""

    seed: int = HELD_OUT_SEED
    """Seed of the held-out samples."""
    held_out_objects: int = 200
    """Objects of the GAN, and of the car world for the oracle; each has one input view and `unseen_views` others."""
    unseen_views: int = 3
    """Other view codes per held-out object."""
    world_objects: int = 200
    """Cars of the car world with 3D ground truth."""
    calibration_objects: int = 24
    """Additional cars for estimating the alignment of a model to the car world."""
    identity_objects: int = 100
    """Objects whose pose, proportions and color are predicted at every view code."""
    control_objects: int = 32
    """Scenes that StyleGAN-R rotates and swaps; at least 2."""
    control_azimuths: int = 12
    """Cameras per scene over a full rotation."""
    quality_images: int = 1000
    """Images on each side of a Frechet distance."""
    edited_pictures: int = 8
    """Car-world images used as photos, reconstructed and rotated by StyleGAN-R."""
    edit_steps: int = 60
    """Steps of refinement, and of plain latent optimization, per edited image."""
    figure_objects: int = 6
    """Rows per figure."""
    photographs: Photographs = field(default_factory=Photographs)
    """Real photos."""
    batch: int = 16
    """Objects per batch."""
    device: str = "auto"
    """`auto` is a GPU if available, else the CPU; or a device name such as `cpu` or `cuda`."""

    def __post_init__(self) -> None:
        least = ("unseen_views", "calibration_objects", "control_azimuths", "batch")
        check_ranges(self, **dict.fromkeys(least, AT_LEAST_1))
        for name in ("control_objects", "quality_images"):
            if getattr(self, name) == 1:
                raise GanverseError(f"expected {name} of 0 or at least 2, got 1; correct it")
