"""Catalog of all evaluation results: names, meanings, targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Entry:
    """One number.

    key: in metrics.json, "part/name". meaning: shown in tables. target: value to reach, None = none. published: whether
    it is in metrics.json; others only appear in tables.
    """

    key: str
    meaning: str
    better: Better = "higher"
    target: float | None = None
    published: bool = True

    @property
    def part(self) -> str:
        """The evaluated part: a key of `PARTS`."""
        return self.key.split("/")[0]

    def reached(self, value: float) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.target is None:
            return None
        return value >= self.target if self.better == "higher" else value <= self.target


PARTS = {
    "gan": "The GAN and the inverse network trained on it: held-out objects of the GAN",
    "world": "The same network on car-world images with 3D ground truth",
    "oracle": "The oracle, trained on the car world itself: the upper bound",
    "pascal3d": "Pascal3D+, CMR protocol: single photos",
    "photos": "A folder of photos with masks: single photos",
    "stylegan_r": "StyleGAN-R: how well it follows its inputs",
    "edits": "Real images in StyleGAN-R: as predicted (read), refined, and by plain latent optimization (projected)",
}

_PICTURES = (
    Entry("iou_input", "2D IoU, input view"),
    Entry("iou_unseen", "2D IoU, other views"),
    Entry("l1_masked", "RGB L1 inside the mask, input view", "lower"),
    Entry("l1_unseen", "RGB L1 inside the mask, other views", "lower", published=False),
    Entry("psnr_input", "PSNR inside the mask, input view, dB"),
    Entry("psnr_unseen", "PSNR inside the mask, other views, dB"),
    Entry("lpips_input", "perceptual distance, input view", "lower"),
    Entry("lpips_unseen", "perceptual distance, other views", "lower"),
)
_IDENTITY = (
    Entry("azimuth_spread_deg", "azimuth spread of one view code over objects, degrees", "lower"),
    Entry("azimuth_flips", "share of images that show the other end of the object", "lower"),
    Entry("identity_height", "share of the height variance that the content explains"),
    Entry("identity_type", "share of the body type variance that the content explains"),
    Entry("identity_color", "share of the color variance that the content explains"),
)
_TRUTH = (
    Entry("iou_2d", "2D IoU under the true camera, input view"),
    Entry("iou_3d", "3D IoU of occupancy"),
    Entry("chamfer", "Chamfer-L1, sum of both directions (a car is 1.8 long)", "lower"),
    Entry("f_score", "F-score of surface points at 0.05 (a car is 1.8 long)"),
    Entry("normal_consistency", "absolute cosine of normals at nearest surface points"),
    Entry("chroma_error", "chroma error, both views", "lower"),
    Entry("chroma_gray", "chroma error of a gray prediction", "neither", published=False),
    Entry("azimuth_error_deg", "azimuth error of the learned cameras, degrees", "lower"),
)
_PHOTOS = (
    Entry("iou", "2D IoU of the re-projection under the predicted camera"),
    Entry("l1_masked", "RGB L1 inside the mask", "lower"),
    Entry("iou_refined", "2D IoU after test-time refinement with the photo's mask", published=False),
    Entry("l1_refined", "RGB L1 after test-time refinement", "lower", published=False),
)
_CONTROLS = (
    Entry("azimuth_error_deg", "azimuth error (measured against requested), median, degrees", "lower"),
    Entry("elevation_rank", "rank correlation of requested and measured elevations"),
    Entry("elevation_slope", "measured per requested degree of elevation", "higher", published=False),
    Entry("scale_rank", "rank correlation of requested and measured sizes"),
    Entry("scale_slope", "measured per requested change of size, logarithms", "higher", published=False),
    Entry("swap_shape_iou", "IoU of the silhouette with the shape's source after a shape swap"),
    Entry("swap_shape_ratio", "1 - IoU after a shape swap: to the source / to the original", "lower"),
    Entry("swap_texture_ratio", "texture swap: distance to the requested texture / to the original one", "lower"),
    Entry("swap_texture_gan", "the same for the GAN itself: another object in this view", "neither"),
    Entry("swap_paint_ratio", "main color, texture swap: distance to the requested one / to the original", "lower"),
    Entry("swap_paint_gan", "the same for the GAN itself: another object in this view", "neither"),
    Entry("swap_background_ratio", "background swap: distance to the requested one / to the original", "lower"),
    Entry("identity_color", "share of the color variance that the scene explains, over a full rotation"),
    Entry("identity_height", "share of the height variance that the scene explains, over a full rotation"),
    Entry("quality_ratio", "Frechet distance / that of the original GAN", "lower"),
)
_EDITS = tuple(
    Entry(f"{name}_{way}", f"{meaning} ({way})", "lower")
    for way in ("read", "refined", "projected")
    for name, meaning in (
        ("l1", "RGB L1 of the reconstructed image"),
        ("lpips", "perceptual distance of the reconstructed image"),
        ("turn_error_deg", "rotated: azimuth error (measured against requested), median, degrees"),
        ("turn_color", "rotated: L1 of the main color"),
    )
)
_TARGETS = {
    "gan/iou_input": 0.95,
    "gan/iou_unseen": 0.92,
    "gan/azimuth_spread_deg": 12.0,
    "gan/azimuth_flips": 0.03,
    "gan/identity_height": 0.6,
    "gan/identity_color": 0.8,
    "world/azimuth_error_deg": 2.0,
    "oracle/iou_input": 0.95,
    "oracle/iou_unseen": 0.94,
    "oracle/iou_3d": 0.88,
    "oracle/azimuth_error_deg": 0.5,
    "stylegan_r/azimuth_error_deg": 6.0,
    "stylegan_r/elevation_rank": 0.95,
    "stylegan_r/scale_rank": 0.95,
    "stylegan_r/swap_shape_iou": 0.85,
    "stylegan_r/swap_texture_ratio": 0.5,
    "stylegan_r/swap_paint_ratio": 0.5,
    "stylegan_r/swap_background_ratio": 0.5,
    "stylegan_r/quality_ratio": 1.25,
}


def _named(part: str, entries: tuple[Entry, ...]) -> list[Entry]:
    keys = [f"{part}/{entry.key}" for entry in entries]
    return [replace(entry, key=key, target=_TARGETS.get(key)) for entry, key in zip(entries, keys, strict=True)]


CATALOG: dict[str, Entry] = {
    entry.key: entry
    for entry in (
        *_named("gan", _PICTURES + _IDENTITY),
        *_named("world", _TRUTH),
        *_named("oracle", _PICTURES + _TRUTH + _IDENTITY),
        *_named("pascal3d", _PHOTOS),
        *_named("photos", _PHOTOS),
        *_named("stylegan_r", _CONTROLS),
        *_named("edits", _EDITS),
    )
}
