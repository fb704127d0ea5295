"""Models of an evaluation: shipped, from a run or a file; loaded, and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser
from torch import nn

from ganverse.arguments import one_sentence
from ganverse.data.multi_view import VALIDATION_START, MultiViewData, MultiViewStream
from ganverse.data.multi_view_folder import MultiViewFolder
from ganverse.data.multi_view_shards import MultiViewShards
from ganverse.data.sources import CAR_WORLD, Source, SourceSettings, open_source
from ganverse.errors import GanverseError, quoted
from ganverse.evaluation.held_out import HeldOutSamples
from ganverse.inverse.weights import ARCHITECTURE as INVERSE_ARCHITECTURE
from ganverse.inverse.weights import InverseModel, load_inverse
from ganverse.io import read_yaml
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.weights import ARCHITECTURE as STYLEGAN_R_ARCHITECTURE
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.pretrained import INVERSE, SHIPPED, STYLEGAN_R, Kind, find_weights, read_card
from ganverse.viewpoints.pose_regressor import PoseRegressor

ORACLE = "oracle-car.safetensors"
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class ModelPaths:
    """Files to evaluate, with their cards; None omits a model.

    source: the GAN with its view codes and masks, for the images of `inverse` and `stylegan_r`. folder: the images
    `inverse` was trained on, if there is no generator. inverse: the network and cameras trained on them. oracle: the
    same, trained on the car world. stylegan_r: needs `source` and `inverse`.
    """

    source: SourceSettings | None = None
    inverse: Path | None = None
    oracle: Path | None = None
    stylegan_r: Path | None = None
    folder: MultiViewFolder | None = None

    @classmethod
    def shipped(cls) -> ModelPaths:
        """The shipped car models."""
        inverse, oracle, renderer = (
            _file_or_none(SHIPPED / name) for name in (INVERSE.shipped, ORACLE, STYLEGAN_R.shipped)
        )
        return cls(SourceSettings(), inverse, oracle, renderer)

    @property
    def shows_cars(self) -> bool:
        """Whether the pose regressor and the car world's 3D truth apply to these models."""
        return self.folder is None and (self.source is None or self.source.category == "car")


def models_of_run(run: str | Path) -> ModelPaths:
    """Weights trained by the stages of a run, with their training data.

    run: the run directory, or the folder of a single stage.

    Raises:
        GanverseError: not a run directory, no finished stage, or missing data.
    """
    run = Path(run)
    network, renderer = (_in_run(run, kind.file, kind) for kind in (INVERSE, STYLEGAN_R))
    configs = [_in_run(run, "config.yaml", kind) for kind in (INVERSE, STYLEGAN_R)]
    recorded = [config for config in (path and read_yaml(path) for path in configs) if isinstance(config, dict)]
    if not recorded:
        raise GanverseError(f"expected a run directory with {INVERSE.stage}/config.yaml at {run}, found none; check it")
    if network is None and renderer is None:
        raise GanverseError(f"expected trained weights in {run}, found none; finish training a stage first")
    if network is None:  # StyleGAN-R was trained with another run's network
        try:
            network = find_weights(str(recorded[-1]["model"]["init_args"]["inverse"]), INVERSE)
        except (KeyError, TypeError) as error:
            raise GanverseError(f"expected model.init_args.inverse in a config.yaml of {run}, found none") from error
    return _on_data(_recorded_data(recorded[0]), network, renderer)


def models_of_checkpoint(weights: Path, generator: str) -> ModelPaths:
    """One file of weights; generator: as in `SourceSettings`, the source it was trained on.

    Raises:
        GanverseError: the file is neither an inverse network nor a StyleGAN-R.
    """
    if weights.suffix != ".safetensors":
        raise GanverseError(f"expected --checkpoint to be a .safetensors file with its card, got {weights}")
    kind, source = read_card(weights).get("architecture", "none"), SourceSettings(generator=generator)
    if kind == INVERSE_ARCHITECTURE:
        return _on_source(source, weights, None)
    if kind == STYLEGAN_R_ARCHITECTURE:
        return _on_source(source, SHIPPED / INVERSE.shipped, weights)
    raise GanverseError(
        f"expected weights of {INVERSE_ARCHITECTURE} or {STYLEGAN_R_ARCHITECTURE} at {weights}, got {kind}"
    )


def _recorded_data(config: Mapping[str, Any]) -> MultiViewData:
    """The training data, from the configuration saved by the training."""
    found = config.get("data")
    recorded = found if isinstance(found, dict) else {}
    named = str(recorded.get("class_path")).rsplit(".", 1)[-1]
    sources = {source.__name__: source for source in (MultiViewStream, MultiViewShards, MultiViewFolder)}
    if named not in sources:  # never import anything else that a configuration names
        raise GanverseError(f"expected data of {', '.join(sources)} in the run's configuration, got {named[:60]}")
    settings = recorded.get("init_args") or {}
    if not isinstance(settings, dict):
        raise GanverseError(f"expected settings of {named} in the run's configuration, got {quoted(settings)}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(sources[named], "data")
    try:
        with one_sentence():
            data: MultiViewData = parser.instantiate(parser.parse_object({"data": settings})).data
    except TypeError as error:
        raise GanverseError(
            f"expected settings of {named} in the run's configuration, got {quoted(settings)}"
        ) from error
    return data


def _on_data(data: MultiViewData, network: Path, renderer: Path | None) -> ModelPaths:
    match data:
        case MultiViewStream():
            return _on_source(data.source_settings, network, renderer)
        case MultiViewShards():
            return _on_source(data.plan.source, network, renderer)
        case MultiViewFolder():
            return ModelPaths(inverse=network, folder=data)
    raise GanverseError(f"expected a run on a stream, shards or a folder, got one on {type(data).__name__}")


def _on_source(source: SourceSettings, network: Path, renderer: Path | None) -> ModelPaths:
    if source.generator == CAR_WORLD:
        return ModelPaths(oracle=network)
    return ModelPaths(source, network, None, renderer)


def _in_run(run: Path, name: str, kind: Kind) -> Path | None:
    """A stage's file, where `run` is a run directory or the stage's folder."""
    return _file_or_none(run / kind.stage / name) or _file_or_none(run / name)


def _file_or_none(path: Path) -> Path | None:
    return path if path.is_file() else None


@dataclass(frozen=True)
class Models:
    """Loaded models, all on `device`; None = not given.

    gan: source of the images of `inverse` and `renderer`. held_out: objects that `inverse` was not trained on, if they
    do not come from `gan`. notes: remarks for the report.
    """

    gan: Source | None = None
    inverse: InverseModel | None = None
    oracle: InverseModel | None = None
    renderer: StyleGANR | None = None
    pose: PoseRegressor | None = None
    held_out: HeldOutSamples | None = None
    notes: tuple[str, ...] = ()
    device: torch.device = _CPU


def world_source(model: InverseModel) -> Source:
    """The car world at the resolution and with the view codes of a network's training."""
    resolution, views = model.network.config.resolution, model.card.views
    return open_source(SourceSettings(CAR_WORLD, resolution=resolution, world_views=views))


def load_models(paths: ModelPaths, device: torch.device | str = "cpu") -> Models:
    """Loads everything before the evaluation starts.

    Raises:
        GanverseError: nothing to evaluate, a file is missing or damaged, or models do not belong together.
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
    return Models(
        gan,
        inverse,
        oracle,
        None if paths.stylegan_r is None else load_stylegan_r(paths.stylegan_r, device)[0],
        PoseRegressor.from_pretrained().to(device) if paths.shows_cars else None,
        None if paths.folder is None else _held_out(paths.folder),
        notes=tuple(notes),
        device=torch.device(device),
    )


def _open_gan(settings: SourceSettings, inverse: InverseModel | None, device: torch.device | str) -> Source:
    """Scaled to the network's image size. Images of a StyleGAN-R of a later round are not used."""
    resolution = None if inverse is None else inverse.card.config.resolution
    source = open_source(replace(settings, resolution=resolution, renderer=None, reader=None))
    if inverse is not None and len(inverse.cameras) != len(source.codes):
        raise GanverseError(
            f"expected one camera per view code, got {len(inverse.cameras)} cameras and {len(source.codes)} codes; "
            "evaluate a network with the view codes it was trained on"
        )
    modules: tuple[object, ...] = (source.generator, source.masker)
    for module in modules:
        if isinstance(module, nn.Module):
            module.to(device)
    return source


def _held_out(folder: MultiViewFolder) -> HeldOutSamples:
    return HeldOutSamples(folder.validation_objects, lambda indices: folder.make(VALIDATION_START + indices))
