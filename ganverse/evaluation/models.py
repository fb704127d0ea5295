"""The models of one evaluation, opened and checked against each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from ganverse.data.sampling import MultiViewSampler, SamplingSettings
from ganverse.data.shards import ShardPlan, read_plan
from ganverse.data.world_views import world_view_codes
from ganverse.errors import GanverseError
from ganverse.evaluation.settings import ModelPaths
from ganverse.generators.framing import framed
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.weights import load_generator
from ganverse.inverse.weights import InverseModel, load_inverse
from ganverse.masks.mask_rcnn import MaskRCNN
from ganverse.masks.masker import Masker
from ganverse.masks.segmenter import Segmenter
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.pretrained import load_network
from ganverse.viewpoints.opening import open_views
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.view_codes import ViewCodes
from ganverse.worlds.generator import CarWorldGenerator


@dataclass(frozen=True)
class Source:
    """A generator with its view codes; masker None = it knows its own masks, or `shards` hold those there are."""

    generator: ImageGenerator
    codes: ViewCodes
    masker: Masker | None = None
    shards: ShardPlan | None = None

    def sampler(self, seed: int, views: int) -> MultiViewSampler:
        """Held-out objects: input view first, then views at any azimuth; the paper's filter applies."""
        settings = SamplingSettings(seed=seed, views=views)
        return MultiViewSampler(self.generator, self.codes, self.masker, settings)


@dataclass(frozen=True)
class Models:
    """What there is to evaluate; None = not there.

    gan, world: the sources of images of `inverse` and `oracle`. notes: what a reader of the numbers should know.
    """

    gan: Source | None = None
    inverse: InverseModel | None = None
    world: Source | None = None
    oracle: InverseModel | None = None
    renderer: StyleGANR | None = None
    pose: PoseRegressor | None = None
    notes: tuple[str, ...] = field(default=())


def load_models(paths: ModelPaths, device: torch.device | str = "cpu") -> Models:
    """Open everything before anything is measured.

    Raises:
        GanverseError: nothing to evaluate, a file that is missing or broken, or models that do not belong together.
    """
    if not any((paths.generator, paths.inverse, paths.oracle)):
        raise GanverseError(
            "expected at least a generator, an inverse network or a oracle to evaluate, got none of them"
        )
    inverse = None if paths.inverse is None else load_inverse(paths.inverse, device)
    gan, sha256, notes = _open_gan(paths, None if inverse is None else inverse.card.config.resolution, device)
    oracle = None if paths.oracle is None else load_inverse(paths.oracle, device)
    for name, model in (("inverse network", inverse), ("oracle", oracle)):
        if model is not None:
            notes.append(f"{name} {model.card.sha256[:12]}: {model.card.images_seen} pictures seen in training")
    if gan is not None and inverse is not None:
        _check_views(inverse, gan.codes)
        if inverse.card.generator_sha256 not in ("", sha256):
            notes.append(
                f"the inverse network was trained on generator {inverse.card.generator_sha256[:12]}, not {sha256[:12]}"
            )
    return Models(
        gan,
        inverse,
        None if oracle is None else world_source(oracle),
        oracle,
        None if paths.stylegan_r is None else load_stylegan_r(paths.stylegan_r, device)[0],
        None if paths.pose_regressor is None else _open_pose(paths.pose_regressor, device),
        tuple(notes),
    )


def world_source(oracle: InverseModel) -> Source:
    """The car world with the view codes that a network was trained on."""
    world = CarWorldGenerator(oracle.network.config.resolution)
    source = Source(world, world_view_codes(world, oracle.card.views))
    _check_views(oracle, source.codes)
    return source


def _open_gan(
    paths: ModelPaths, resolution: int | None, device: torch.device | str
) -> tuple[Source | None, str, list[str]]:
    """resolution: of the pictures that the inverse network knows, None where there is none."""
    if paths.generator is None or paths.view_codes is None:
        return None, "", []
    network, card = load_generator(paths.generator)
    generator, codes = open_views(paths.view_codes, framed(network, resolution))
    masker = _open_masker(paths, device)
    seen = f"generator {card.sha256[:12]}: {card.images_seen} images seen, {len(codes)} view codes"
    assert isinstance(generator, nn.Module)
    shards = None if paths.shards is None else read_plan(paths.shards)
    return Source(generator.to(device), codes, masker, shards), card.sha256, [seen]


def _open_masker(paths: ModelPaths, device: torch.device | str) -> Masker | None:
    if paths.mask_rcnn is not None:
        return MaskRCNN.from_pretrained(paths.mask_rcnn).to(device)
    return None if paths.segmenter is None else Segmenter.from_pretrained(paths.segmenter).to(device)


def _open_pose(path: Path, device: torch.device | str) -> PoseRegressor:
    regressor = PoseRegressor()
    load_network(regressor, path)
    return regressor.eval().to(device)


def _check_views(model: InverseModel, codes: ViewCodes) -> None:
    if len(model.cameras) != len(codes):
        raise GanverseError(
            f"expected one camera per view code, got {len(model.cameras)} cameras and {len(codes)} codes; evaluate "
            "a network with the view codes it was trained on"
        )
