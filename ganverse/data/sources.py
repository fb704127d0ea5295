"""Sources of multi-view samples: a generator with view codes and masks, or an earlier round's StyleGAN-R."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ganverse.data.rerendered import RerenderedSampler, Rerendering, open_rerendering
from ganverse.data.sampling import MultiViewSampler, SamplingSettings
from ganverse.errors import AT_LEAST_1, GanverseError, check_ranges
from ganverse.generators.framing import framed
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.weights import load_generator
from ganverse.masks.mask_rcnn import MaskRCNN
from ganverse.masks.masker import Masker
from ganverse.masks.rembg import Rembg
from ganverse.masks.segmenter import CAR_WEIGHTS, Segmenter
from ganverse.pretrained import generator_path, segmenter_beside
from ganverse.viewpoints.directions import open_views
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims, view_latents
from ganverse.worlds.generator import CarWorldGenerator

CAR_WORLD = "car-world"
MaskSource = Literal["auto", "truth", "segmenter", "mask-rcnn", "rembg"]
Category = Literal["car", "horse", "bird", "other"]
_WORLD_RESOLUTION, _WORLD_CANDIDATES, _BINS = 64, 4096, 12


@dataclass(frozen=True)
class SourceSettings:
    """A generator, its view codes and its masks."""

    generator: str = "car"
    """`car` (the shipped GAN), `car-world` (the procedural world), or a .safetensors file."""
    view_codes: Path | None = None
    """View-code file. Default: NAME-views.yaml beside NAME.safetensors."""
    resolution: int | None = None
    """Image size in pixels after downscaling. Default: the generator's own (64 for `car-world`)."""
    masks: MaskSource = "auto"
    """`auto` uses exact masks in the car world, and the segmenter elsewhere."""
    segmenter: Path | None = None
    """Weights of the segmenter. Default: NAME-segmenter.safetensors beside the generator; for cars the shipped one."""
    category: Category = "car"
    """Class that Mask R-CNN detects. For cars, evaluations also compare with the car world."""
    world_views: int = 24
    """Number of view codes of the car world, a multiple of 12."""
    renderer: Path | None = None
    """A StyleGAN-R of this generator that synthesizes the images instead (further rounds of training)."""
    reader: Path | None = None
    """The inverse network that `renderer` was trained with."""

    def __post_init__(self) -> None:
        if (self.renderer is None) != (self.reader is None):
            raise GanverseError(
                f"expected renderer and reader together, got {self.renderer} and {self.reader}; give both, or neither"
            )
        if self.world_views < _BINS or self.world_views % _BINS:
            raise GanverseError(f"expected world_views to be a multiple of {_BINS}, got {self.world_views}")
        check_ranges(self, resolution=AT_LEAST_1)


@dataclass(frozen=True)
class Source:
    """A loaded generator with its views.

    sha256: of the generator's weights, empty for the car world. masker: None for exact masks. rerendering: replaces the
    generator's images, if given. license: of the generator; networks trained on its images inherit it.
    """

    settings: SourceSettings
    name: str
    generator: ImageGenerator
    sha256: str
    codes: ViewCodes
    masker: Masker | None
    rerendering: Rerendering | None = None
    license: str = "Apache-2.0"

    @property
    def fingerprints(self) -> dict[str, str]:
        """sha256 of the view codes and of all weights behind the images, by name."""
        renderer = {} if self.rerendering is None else {"renderer": self.rerendering.card.sha256}
        return {"generator": self.sha256 or CAR_WORLD, "view_codes": self.codes.sha256, **renderer}

    def sampler(self, sampling: SamplingSettings) -> MultiViewSampler:
        """The sampler of this source."""
        if self.rerendering is None or self.masker is None:
            return MultiViewSampler(self.generator, self.codes, self.masker, sampling)
        return RerenderedSampler(self.generator, self.codes, self.masker, sampling, self.rerendering)


def open_source(settings: SourceSettings) -> Source:
    """Loads a source.

    Raises:
        GanverseError: a file is missing or does not match the others.
    """
    if settings.generator == CAR_WORLD:
        return _open_world(settings)
    path = generator_path(settings.generator)
    network, card = load_generator(path)
    codes_path = view_codes_path(settings)
    generator, codes = open_views(codes_path, network)
    if codes.generator not in (card.sha256, path.stem, settings.generator):
        raise GanverseError(
            f"expected {codes_path} to hold view codes of {path.stem} ({card.sha256[:12]}...), got those of "
            f"{codes.generator[:20]}; set view_codes to this generator's file"
        )
    generator, rerendering = framed(generator, settings.resolution), None
    if settings.renderer is not None and settings.reader is not None:
        rerendering = open_rerendering(settings.renderer, settings.reader, card.sha256, len(codes))
        side = rerendering.renderer.framing.resolution
        if generator.resolution != side:
            raise GanverseError(f"expected resolution {side}, that of the renderer's networks; set resolution")
    return Source(settings, path.stem, generator, card.sha256, codes, _masker(settings), rerendering, card.license)


def _open_world(settings: SourceSettings) -> Source:
    if settings.renderer is not None:
        raise GanverseError("expected no renderer for the car world, whose cameras are exact; omit it")
    world = CarWorldGenerator(settings.resolution or _WORLD_RESOLUTION)
    masker = None if settings.masks in ("auto", "truth") else _masker(settings)
    return Source(settings, CAR_WORLD, world, "", world_view_codes(world, settings.world_views), masker)


def _masker(settings: SourceSettings) -> Masker:
    if settings.masks == "truth":
        raise GanverseError(f"expected masks: segmenter, mask-rcnn or rembg, got truth, which only {CAR_WORLD} has")
    if settings.masks == "mask-rcnn":
        return MaskRCNN.from_pretrained(settings.category)  # refuses classes outside COCO
    if settings.masks == "rembg":
        return Rembg.from_pretrained()
    return Segmenter.from_pretrained(segmenter_path(settings))


def world_view_codes(generator: CarWorldGenerator, count: int = 24) -> ViewCodes:
    """View codes of the car world: the first seeds that fill all 30-degree bins evenly, annotated with bin centers.

    count: a multiple of 12. Elevations and distances vary and are not annotated.
    """
    seeds = list(range(_WORLD_CANDIDATES))
    styles = generator.styles(generator.map(view_latents(seeds, generator.z_dim)))
    width = 360.0 / _BINS
    azimuth = torch.atan2(styles[:, 0], styles[:, 1]).rad2deg()
    index = (azimuth / width).round().long().remainder(_BINS).tolist()
    chosen = [[seed for seed in seeds if index[seed] == k][: count // _BINS] for k in range(_BINS)]
    codes = tuple(ViewCode(seed, k * width) for k, found in enumerate(chosen) for seed in found)
    return ViewCodes(CAR_WORLD, layer_dims(generator.style_sizes, generator.view_layers), codes)


def view_codes_path(settings: SourceSettings) -> Path:
    """Path of a GAN's view codes."""
    path = generator_path(settings.generator)
    return settings.view_codes or path.with_name(f"{path.stem}-views.yaml")


def segmenter_path(settings: SourceSettings) -> Path:
    """Path of the segmenter's weights.

    Raises:
        GanverseError: none was given or found beside the generator, and the shipped one only fits cars.
    """
    own = segmenter_beside(generator_path(settings.generator))
    if settings.segmenter is not None:
        return settings.segmenter
    if settings.generator not in ("car", CAR_WORLD) and own.is_file():
        return own
    if settings.category != "car":
        raise GanverseError(
            f"expected a segmenter for {settings.category} at {own}, found none; run `ganverse masks "
            f"{settings.generator}`, or set segmenter"
        )
    return CAR_WEIGHTS
