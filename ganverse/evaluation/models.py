"""The models of one evaluation: found in the package, a run or a file, opened, and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from jsonargparse import ArgumentParser
from torch import nn

from ganverse.data.multi_view import VALIDATION_START
from ganverse.data.multi_view_folder import MultiViewFolder
from ganverse.data.shards import read_plan
from ganverse.data.sources import CAR_WORLD, Source, SourceSettings, open_source
from ganverse.errors import GanverseError
from ganverse.evaluation.held_out import HeldOutSamples
from ganverse.inverse.weights import ARCHITECTURE as INVERSE_ARCHITECTURE
from ganverse.inverse.weights import InverseModel, load_inverse
from ganverse.io import read_yaml
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.weights import ARCHITECTURE as STYLEGAN_R_ARCHITECTURE
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.pretrained import INVERSE, SHIPPED, STYLEGAN_R, find_weights, load_network, read_kind
from ganverse.settings import one_sentence
from ganverse.viewpoints.pose_regressor import CAR_WEIGHTS, PoseRegressor

ORACLE = "oracle-car.safetensors"
_CONFIG = "config.yaml"
_CPU = torch.device("cpu")
Built = TypeVar("Built")


@dataclass(frozen=True)
class ModelPaths:
    """What to evaluate, as files with their cards; None omits a model.

    source: the GAN with its view codes and masks, the source of the images of `inverse` and `stylegan_r`. inverse: the
    network and cameras trained on it. oracle: the same trained on the car world. stylegan_r: needs `source` and
    `inverse`. pose_regressor: predicts the viewpoints of car images. folder: the pictures that `inverse` was trained on
    instead of a source.
    """

    source: SourceSettings | None = None
    inverse: Path | None = None
    oracle: Path | None = None
    stylegan_r: Path | None = None
    pose_regressor: Path | None = None
    folder: MultiViewFolder | None = None

    @classmethod
    def shipped(cls) -> ModelPaths:
        """The car models inside the package."""
        names = (INVERSE.shipped, ORACLE, STYLEGAN_R.shipped, CAR_WEIGHTS.name)
        return cls(SourceSettings(), *(_file_or_none(SHIPPED / name) for name in names))


def models_of_run(run: Path) -> ModelPaths:
    """The weights that the stages of a run have left, with the data they were trained on (their config.yaml).

    Nothing that a configuration names is imported.

    Raises:
        GanverseError: this is no run directory, or no stage has finished.
    """
    network = _file_or_none(run / INVERSE.stage / INVERSE.file)
    renderer = _file_or_none(run / STYLEGAN_R.stage / STYLEGAN_R.file)
    configs = [run / stage / _CONFIG for stage in (INVERSE.stage, STYLEGAN_R.stage)]
    recorded = [_mapping(read_yaml(path), path) for path in configs if path.is_file()]
    if not recorded:
        raise GanverseError(
            f"expected a run directory with {INVERSE.stage}/{_CONFIG} at {run}, found none; check --run"
        )
    if network is None and renderer is None:
        raise GanverseError(f"expected trained weights below {run}, found none; train the run first")
    if network is None:  # StyleGAN-R was trained with the network of another run
        network = find_weights(str(_mapping(_mapping(recorded[-1]["model"])["init_args"])["inverse"]), INVERSE)
    data = _mapping(recorded[0].get("data"))
    kind, arguments = str(data.get("class_path")).rsplit(".", 1)[-1], _mapping(data.get("init_args"))
    if kind == MultiViewFolder.__name__:
        return ModelPaths(inverse=network, folder=_built(MultiViewFolder, arguments))
    if kind == "MultiViewShards":
        return _with_source(read_plan(Path(str(arguments["folder"]))).source, network, renderer)
    known = {field.name for field in fields(SourceSettings)}
    settings = _built(SourceSettings, {name: value for name, value in arguments.items() if name in known})
    return _with_source(settings, network, renderer)


def models_of_checkpoint(weights: Path, generator: str) -> ModelPaths:
    """One file of weights; generator: as in `SourceSettings`, the source it was trained on.

    Raises:
        GanverseError: the file is neither an inverse network nor a StyleGAN-R.
    """
    if weights.suffix != ".safetensors":
        raise GanverseError(f"expected --checkpoint to be a .safetensors file with its card, got {weights}")
    kind, source = read_kind(weights), SourceSettings(generator=generator)
    if kind == INVERSE_ARCHITECTURE:
        return _with_source(source, weights, None)
    if kind == STYLEGAN_R_ARCHITECTURE:
        return _with_source(source, SHIPPED / INVERSE.shipped, weights)
    raise GanverseError(
        f"expected weights of {INVERSE_ARCHITECTURE} or {STYLEGAN_R_ARCHITECTURE} at {weights}, got {kind}"
    )


def _with_source(source: SourceSettings, network: Path, renderer: Path | None) -> ModelPaths:
    if source.generator == CAR_WORLD:
        return ModelPaths(oracle=network)
    pose = CAR_WEIGHTS if source.category == "car" else None
    return ModelPaths(source, network, None, renderer, pose)


def _built(cls: type[Built], arguments: Mapping[str, Any]) -> Built:
    """An instance out of a configuration file."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "data")
    with one_sentence():
        built: Built = parser.instantiate_classes(parser.parse_object({"data": dict(arguments)})).data
    return built


def _mapping(value: object, path: Path | str = "the configuration") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise GanverseError(f"expected lines `key: value` in {path}, got a {type(value).__name__}")
    return value


def _folder_samples(folder: MultiViewFolder) -> HeldOutSamples:
    """The objects of a folder that are kept out of training."""
    return HeldOutSamples(folder.validation_objects, lambda indices: folder.make(indices + VALIDATION_START))


def _file_or_none(path: Path) -> Path | None:
    return path if path.is_file() else None


@dataclass(frozen=True)
class Models:
    """Opened models, all on `device`; None = not there.

    gan: the source of the images of `inverse` and `renderer`. held_out: objects that `inverse` was not trained on,
    where they are not to be drawn from `gan`. images_seen: by the evaluated network in training. notes: what a reader
    of the scores should know.
    """

    gan: Source | None = None
    inverse: InverseModel | None = None
    oracle: InverseModel | None = None
    renderer: StyleGANR | None = None
    pose: PoseRegressor | None = None
    held_out: HeldOutSamples | None = None
    images_seen: int = 0
    notes: tuple[str, ...] = ()
    device: torch.device = _CPU

    @cached_property
    def world(self) -> Source | None:
        """The car world at the resolution and with the view codes that the oracle was trained on."""
        if self.oracle is None:
            return None
        resolution, views = self.oracle.network.config.resolution, self.oracle.card.views
        return open_source(SourceSettings(CAR_WORLD, resolution=resolution, world_views=views))


def load_models(paths: ModelPaths, device: torch.device | str = "cpu") -> Models:
    """Open everything before anything is measured.

    Raises:
        GanverseError: nothing to evaluate, a file that is missing or broken, or models that do not belong together.
    """
    if not any((paths.source, paths.inverse, paths.oracle)):
        raise GanverseError("expected a generator, an inverse network or an oracle to evaluate, got none of them")
    inverse, oracle = (None if path is None else load_inverse(path, device) for path in (paths.inverse, paths.oracle))
    gan, notes = None, []
    if paths.source is not None:
        gan = _open_gan(paths.source, inverse, device)
        notes.append(f"generator {gan.sha256[:12]}: {len(gan.codes)} view codes")
    for name, model in (("inverse network", inverse), ("oracle", oracle)):
        if model is not None:
            notes.append(f"{name} {model.card.sha256[:12]}: {model.card.images_seen} images seen in training")
    if gan is not None and inverse is not None and inverse.card.generator_sha256 not in ("", gan.sha256):
        notes.append(
            f"the inverse network was trained on generator {inverse.card.generator_sha256[:12]}, not {gan.sha256[:12]}"
        )
    renderer, card = (None, None) if paths.stylegan_r is None else load_stylegan_r(paths.stylegan_r, device)
    trained = [one for one in (card, inverse and inverse.card, oracle and oracle.card) if one]
    return Models(
        gan,
        inverse,
        oracle,
        renderer,
        None if paths.pose_regressor is None else _open_pose(paths.pose_regressor, device),
        held_out=None if paths.folder is None else _folder_samples(paths.folder),
        images_seen=trained[0].images_seen if trained else 0,
        notes=tuple(notes),
        device=torch.device(device),
    )


def _open_gan(settings: SourceSettings, inverse: InverseModel | None, device: torch.device | str) -> Source:
    """Scaled to the images that the network takes. StyleGAN-R's own images, of a later round, are not measured on."""
    resolution = None if inverse is None else inverse.card.config.resolution
    source = open_source(replace(settings, resolution=resolution, renderer=None, reader=None))
    if inverse is not None and len(inverse.cameras) != len(source.codes):
        raise GanverseError(
            f"expected one camera per view code, got {len(inverse.cameras)} cameras and {len(source.codes)} codes; "
            "evaluate a network with the view codes it was trained on"
        )
    for module in (source.generator, source.masker):
        if isinstance(module, nn.Module):
            module.to(device)
    return source


def _open_pose(path: Path, device: torch.device | str) -> PoseRegressor:
    regressor = PoseRegressor()
    load_network(regressor, path)
    return regressor.eval().to(device)
