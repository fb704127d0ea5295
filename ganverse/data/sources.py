"""Where multi-view samples come from: a generator, its view codes, masks; in memory or from shards."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from ganverse.data.batch import MultiViewBatch
from ganverse.data.multi_view import VALIDATION_START, MultiViewStream
from ganverse.data.painted_samples import PaintedSampler, PaintedSamples, WholePicture, open_painted_samples
from ganverse.data.rerendered import SteeredSampler, Steering, open_steering
from ganverse.data.sampling import MultiViewSampler, Sampler, SamplingSettings
from ganverse.data.shard_module import ShardDataModule
from ganverse.data.shards import read_plan
from ganverse.data.world_views import NAME, world_view_codes
from ganverse.errors import GanverseError
from ganverse.generators.framing import framed
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.weights import load_generator
from ganverse.masks.mask_rcnn import MaskRCNN
from ganverse.masks.masker import Masker, SegmenterMasker
from ganverse.masks.segmenter import CAR_WEIGHTS, Segmenter
from ganverse.pretrained import SHIPPED
from ganverse.viewpoints.opening import open_views
from ganverse.viewpoints.view_codes import ViewCodes
from ganverse.worlds.generator import CarWorldGenerator

MultiViewData = MultiViewStream | ShardDataModule


@dataclass(frozen=True)
class DataSettings:
    """The multi-view data of a run.

    generator: "car" is the GAN inside the package, "car-world" the procedural world itself (the oracle's source), and
    anything else a .safetensors file with its card.
    view_codes: file with the views; null takes NAME-views.yaml beside NAME.safetensors, and the car world's own.
    world_resolution: pixels of the car world's pictures; a GAN has its own.
    world_views: view codes of the car world, a multiple of 12.
    masks: "auto" is the truth in the car world and the segmenter elsewhere.
    segmenter: its weights; null takes NAME-segmenter.safetensors beside the generator (`ganverse masks`), or, for cars,
        the car segmenter inside the package.
    mask_folder: PNG files instead of all that: the first `generate` writes pictures there, the next makes shards of
        them and of the masks that lie beside them then (see `data.painted_samples`).
    category: what Mask R-CNN looks for; cars are also measured against the car world in evaluations.
    resolution: pixels a side to which a GAN's pictures are scaled down; null takes its own.
    shards: folder that the generate stage has filled; null makes samples in memory while training.
    batch: objects per step and process; each gives `sampling.views` pictures.
    sampling: what a sample is.
    renderer: a StyleGAN-R of the generator, which then paints the pictures of its objects (see `steering`); null shows
        the generator's own.
    reader: the inverse network that taught `renderer`.
    """

    generator: str = "car"
    view_codes: Path | None = None
    world_resolution: int = 64
    world_views: int = 24
    masks: Literal["auto", "truth", "segmenter", "mask-rcnn"] = "auto"
    segmenter: Path | None = None
    mask_folder: Path | None = None
    category: Literal["car", "horse", "bird", "other"] = "car"
    resolution: int | None = None
    shards: Path | None = None
    batch: int = 16
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    renderer: Path | None = None
    reader: Path | None = None

    def __post_init__(self) -> None:
        if (self.renderer is None) != (self.reader is None):
            raise GanverseError(
                f"expected data.renderer and data.reader together, got {self.renderer} and {self.reader}; give the "
                "StyleGAN-R and the inverse network that taught it, or neither"
            )
        if self.mask_folder is not None and self.renderer is not None:
            raise GanverseError(
                "expected no data.mask_folder with data.renderer, which paints pictures that nobody has masked yet; "
                "leave one of them away"
            )


@dataclass(frozen=True)
class Source:
    """An opened generator with its views.

    sha256: of the generator's weights, empty for the car world. masker: None where the truth is used. steering: what
    paints the pictures instead of the generator, if anything does. painted: the masks of a folder, if they are used.
    """

    name: str
    generator: ImageGenerator
    sha256: str
    codes: ViewCodes
    masker: Masker | None
    steering: Steering | None = None
    painted: PaintedSamples | None = None

    @property
    def fingerprints(self) -> dict[str, str]:
        """sha256 of all weights behind the pictures and of the view codes, by name."""
        painter = {} if self.steering is None else {"renderer": self.steering.card.sha256}
        return {"generator": self.sha256, "view_codes": self.codes.sha256, **painter}


def generator_path(name: str) -> Path:
    """The weights behind a generator's name; "car" lies in the package."""
    return SHIPPED / "gan-car.safetensors" if name == "car" else Path(name)


def view_codes_path(settings: DataSettings) -> Path:
    """The file of a GAN's view codes."""
    path = generator_path(settings.generator)
    return settings.view_codes or path.with_name(f"{path.stem}-views.yaml")


def open_source(settings: DataSettings) -> Source:
    """Loads everything, so that a missing or wrong file is reported before any training starts.

    Raises:
        GanverseError: a file is missing or does not fit the others.
    """
    source = open_pictures(settings)
    if settings.mask_folder is None:
        return source
    return replace(source, painted=open_painted_samples(settings.mask_folder, picture_sampler(source, settings)))


def open_pictures(settings: DataSettings) -> Source:
    """As `open_source`, but without the masks of a folder, which are painted on these pictures."""
    if settings.generator == NAME:
        if settings.world_views < 12 or settings.world_views % 12:
            raise GanverseError(f"expected data.world_views to be a multiple of 12, got {settings.world_views}")
        world = CarWorldGenerator(settings.world_resolution)
        codes = world_view_codes(world, settings.world_views)
        if settings.renderer is not None:
            raise GanverseError("expected no data.renderer for the car world, which has exact cameras; leave it away")
        return Source(NAME, world, "", codes, _masker(settings, truthful=True))
    path = generator_path(settings.generator)
    network, card = load_generator(path)
    codes_path = view_codes_path(settings)
    generator, codes = open_views(codes_path, framed(network, settings.resolution))
    if codes.generator not in (card.sha256, path.stem, settings.generator):
        raise GanverseError(
            f"expected {codes_path} to hold view codes of {path.stem} ({card.sha256[:12]}...), got those of "
            f"{codes.generator[:20]}; give this generator's file with --data.view_codes"
        )
    steering = None
    if settings.renderer is not None and settings.reader is not None:
        steering = open_steering(settings.renderer, settings.reader, card.sha256, len(codes))
    return Source(path.stem, generator, card.sha256, codes, _masker(settings, truthful=False), steering)


def _masker(settings: DataSettings, *, truthful: bool) -> Masker | None:
    if settings.mask_folder is not None:
        return WholePicture()
    if settings.masks == "truth" and not truthful:
        raise GanverseError("expected data.masks to be segmenter or mask-rcnn, got truth, which only car-world knows")
    if settings.masks == "truth" or (settings.masks == "auto" and truthful):
        return None
    if settings.masks == "mask-rcnn":
        return MaskRCNN.coco(settings.category)  # refuses what COCO does not know
    return SegmenterMasker.load(segmenter_path(settings))


def views_beside(generator: Path) -> Path:
    """Where the view codes of a GAN are written; for weights inside the package, into the current folder."""
    beside = generator.with_name(f"{generator.stem}-views.yaml")
    return Path(beside.name) if generator.parent == SHIPPED else beside


def segmenter_beside(generator: Path) -> Path:
    """Where `ganverse masks` puts the segmenter of a GAN; for weights inside the package, into the current folder."""
    beside = generator.with_name(f"{generator.stem}-segmenter.safetensors")
    return Path(beside.name) if generator.parent == SHIPPED else beside


def segmenter_path(settings: DataSettings) -> Path:
    """The weights of the segmenter of `settings`.

    Raises:
        GanverseError: none is named, none lies beside the generator, and the package's knows only cars.
    """
    beside = segmenter_beside(generator_path(settings.generator))
    if settings.segmenter is not None:
        return settings.segmenter
    if settings.generator not in ("car", NAME) and beside.is_file():
        return beside
    if settings.category != "car":
        raise GanverseError(
            f"expected a segmenter for {settings.category} at {beside}, found none; make one with `ganverse masks "
            f"{settings.generator}`, or give --data.segmenter"
        )
    return CAR_WEIGHTS


def open_segmenter(settings: DataSettings) -> Segmenter:
    """The segmenter of `settings`, frozen; errors as in `segmenter_path`."""
    return Segmenter.load(segmenter_path(settings))


def picture_sampler(source: Source, settings: DataSettings) -> MultiViewSampler:
    """Draws the pictures that masks are painted for: the first attempt of every sample."""
    sampling = replace(settings.sampling, attempts=1)
    return MultiViewSampler(source.generator, source.codes, WholePicture(), sampling)


def make_sampler(source: Source, settings: DataSettings) -> Sampler:
    """Draws samples of this source."""
    if source.painted is not None:
        return PaintedSampler(picture_sampler(source, settings), source.painted)
    objects = MultiViewSampler(source.generator, source.codes, source.masker, settings.sampling)
    if source.steering is None or source.masker is None:
        return objects
    return SteeredSampler(objects, source.steering, source.masker)


def make_data(source: Source, settings: DataSettings) -> MultiViewData:
    """The stream, or the shards where a folder is given.

    Raises:
        GanverseError: the shards are not those of this source, or there are none of the masks of a folder.
    """
    sampler = make_sampler(source, settings)
    if settings.shards is None and source.painted is not None:
        raise GanverseError(
            f"expected data.shards with data.mask_folder, got none; `python train.py generate --data.mask_folder "
            f"{settings.mask_folder}` makes them"
        )
    if settings.shards is None:
        return MultiViewStream(sampler, settings.batch)
    data = ShardDataModule(settings.shards, settings.batch, len(read_plan(settings.shards).held_back))
    if data.plan.fingerprint != sampler.fingerprint:
        raise GanverseError(
            f"expected {settings.shards} to hold samples of {source.name} with these settings ({sampler.fingerprint}), got "
            f"{data.plan.fingerprint}; generate them again or leave --data.shards away"
        )
    return data


def preview_batch(source: Source, settings: DataSettings, objects: int) -> MultiViewBatch:
    """A few held-out samples, always the same ones, for pictures."""
    indices = torch.arange(VALIDATION_START, VALIDATION_START + objects)
    return make_sampler(source, settings).draw(indices).batch
