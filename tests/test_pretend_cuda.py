"""Trainings, metrics and commands on a pretended GPU: nothing mixes devices, and no step makes the host wait.

Warp's kernels need a real one: the reference backend stands in for them. What it waits for is its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from rich.console import Console
from torch import nn

from ganverse import cli
from ganverse.apps.annotate import Desk, open_annotation
from ganverse.apps.stage import Look
from ganverse.apps.studio import open_stage
from ganverse.data.multi_view_shards import MultiViewShards
from ganverse.evaluation import evaluate
from ganverse.evaluation.catalog import CATALOG
from ganverse.evaluation.evaluate import evaluate_loaded
from ganverse.evaluation.settings import Photographs
from ganverse.generators.weights import load_generator
from ganverse.inverse.camera_survey import SurveyPlan
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.neural_renderer.found_views import FoundViewSettings
from ganverse.reconstruction.editor import Editor
from ganverse.reconstruction.reconstructor import Reconstructor
from ganverse.reconstruction.refinement import RefinementSettings
from ganverse.tasks.dataset_generation import DatasetGeneration
from ganverse.tasks.inverse_graphics import PerceptualSettings
from ganverse.training.media import SampleLogger
from tests import pipeline_toys
from tests.evaluation.tiny_models import TINY_SETTINGS, tiny_models
from tests.importing_toys import stylegan1, stylegan2, stylegan3
from tests.pretend_cuda import CUDA, PretendCuda
from tests.reconstruction.toys import save_mask, save_photo, save_weights
from tests.tasks import gan_toys, toys


@pytest.fixture
def gpu() -> Iterator[PretendCuda]:
    with PretendCuda() as pretended:
        yield pretended


class AnyDevice(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        pass


class Waits(pl.Callback):
    """What made the host wait in each step, its logging and averaging included; not in the renderer's stand-in."""

    def __init__(self, gpu: PretendCuda) -> None:
        self.gpu, self.steps = gpu, list[Counter[str]]()
        self.beside = 0

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        assert {parameter.device for parameter in module.parameters()} == {CUDA}
        self.steps.append(Counter({k: n for k, n in self.gpu.waits.items() if "ganverse/rendering/" not in k}))
        self.beside += sum(self.gpu.beside.values())
        self.gpu.waits.clear()
        self.gpu.beside.clear()


def trainer(folder: Path, device: str, *callbacks: pl.Callback, **settings: Any) -> pl.Trainer:
    if device == "cuda":
        settings |= {"accelerator": AnyDevice(), "strategy": SingleDeviceStrategy(CUDA), "devices": "auto"}
    return toys.trainer(folder, callbacks=[SampleLogger(100, objects=2), *callbacks], **settings)


def gan(files: toys.Files, folder: Path) -> tuple[pl.LightningModule, pl.LightningDataModule]:
    return gan_toys.module(), gan_toys.images(folder / "world.npy")


def inverse(files: toys.Files, folder: Path) -> tuple[pl.LightningModule, pl.LightningDataModule]:
    """A camera survey is complete before the fourth step."""
    survey = SurveyPlan(at=(0.0,), after=0, pictures_per_view=2, turns=3, certainty=0.0)
    perceptual = PerceptualSettings(start=0.0, renders=8)
    return toys.inverse(images=1000, survey=survey, perceptual=perceptual), toys.stream(files, 4)


def disentanglement(files: toys.Files, folder: Path) -> tuple[pl.LightningModule, pl.LightningDataModule]:
    """Two steps of the first stage; the second begins with the third step."""
    found = FoundViewSettings(candidates=48, steps=2)
    settings = replace(toys.SHORT, warm_up_images=16, fine_tune_images=1000, found_views=found)
    return toys.disentanglement(files, settings, losses=toys.DisentangleWeights()), toys.stream(files, 4)


# Once, not every step: the first one of all, a survey's decision, and the spread of the styles before the second stage.
@pytest.mark.parametrize(("stage", "once"), [(gan, {0}), (inverse, {0, 3}), (disentanglement, {0, 2})])
def test_a_training_waits_for_nothing(
    stage: Callable[..., Any], once: set[int], files: toys.Files, tmp_path: Path, gpu: PretendCuda
) -> None:
    module, data = stage(files, tmp_path)
    waits = Waits(gpu)
    steps = 5 * (1 + (stage is gan))
    fit = trainer(
        tmp_path, "cuda", waits, max_steps=steps, limit_val_batches=int(stage is not gan), log_every_n_steps=100
    )
    fit.fit(module, datamodule=data)
    assert len(waits.steps) == 5
    assert {number: found for number, found in enumerate(waits.steps) if number not in once and found} == {}
    assert (waits.beside > 0) == (stage is not gan), "samples are drawn in a stream of their own"
    module.save_pretrained(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("form", ["shards", "folder"])
def test_samples_are_written_and_read(form: str, files: toys.Files, tmp_path: Path, gpu: PretendCuda) -> None:
    task, folder = DatasetGeneration(tmp_path / "samples", 4, form, per_file=2), tmp_path / "samples"
    trainer(tmp_path, "cuda").predict(task, datamodule=toys.stream(files), return_predictions=False)
    expected = toys.stream(files).make(torch.arange(4))
    if form == "shards":
        found = MultiViewShards(folder, 2, validation_objects=1, num_workers=0).make(torch.arange(3), CUDA)
        assert found.images.device == found.view_ids.device == CUDA
        assert torch.equal(found.images.cpu(), expected.images[:3]), "the values are those of the CPU"
    else:
        assert len(list(folder.glob("*/*.png"))) == 4 * 2 * 2


def on_gpu(thing: Any) -> Any:
    """Networks anywhere in dataclasses, moved."""
    if isinstance(thing, nn.Module):
        return thing.to(CUDA)
    for value in getattr(thing, "__dict__", {}).values():
        if isinstance(value, nn.Module) or hasattr(value, "__dataclass_fields__"):
            on_gpu(value)
    return thing


def test_every_metric(tmp_path: Path, gpu: PretendCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "PerceptualDistance", lambda: PerceptualDistance(stages=1))
    for name in ("a", "b"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        save_photo(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "masks").mkdir()
    for name in ("a", "b"):
        save_mask(tmp_path / "masks" / f"{name}.png")
    settings = replace(TINY_SETTINGS, photographs=Photographs(tmp_path / "photos", tmp_path / "masks", refine=2))
    models = replace(on_gpu(tiny_models()), device=CUDA)
    found = evaluate_loaded(models, tmp_path / "report", settings, console=Console(quiet=True))
    assert set(found) == {key for key, entry in CATALOG.items() if entry.published and entry.part != "pascal3d"}


def test_reconstruct(tmp_path: Path, gpu: PretendCuda) -> None:
    reconstructor = Reconstructor.from_pretrained(save_weights(tmp_path / "net.safetensors"), device=CUDA)
    settings = RefinementSettings(steps=2, hypothesis_steps=1, size=32)
    found = reconstructor(save_photo(tmp_path / "car.png"), refinement=settings)
    assert found.mesh.vertices.device == found.texture.device == found.views().device == CUDA
    assert found.silhouette_iou() > 0
    for file in ("car.glb", "car.obj"):
        found.save(tmp_path / file)
    found.save_turntable(tmp_path / "car.gif", frames=3, size=32)


def test_edit(tmp_path: Path, gpu: PretendCuda) -> None:
    editor = Editor.from_pretrained("car", device=CUDA)
    photo = editor(save_photo(tmp_path / "car.png"), steps=1)
    assert editor.sheet(photo, {"texture": photo, "background": photo}).device == CUDA


def test_studio(tmp_path: Path, gpu: PretendCuda) -> None:
    stage = open_stage(device=CUDA, objects=2)
    name = stage.add_photo(save_photo(tmp_path / "car.png").read_bytes())
    assert {image.device for image in stage.show(Look(name, "0", "1", 40.0, 10.0))} == {CUDA}
    for made in (stage.picture, stage.glb, stage.turntable):
        assert len(made(Look("0", "1", "0", 40.0, 10.0))) > 100


def test_annotate(files: toys.Files, tmp_path: Path, gpu: PretendCuda) -> None:
    network, card = load_generator(files.generator)
    generator, file = open_annotation(network, card.sha256, tmp_path / "views.yaml", None)
    desk = Desk(on_gpu(generator), file, pool=4)
    assert len(desk.candidates) > 0


def test_masks_and_views(tmp_path: Path, gpu: PretendCuda, capsys: pytest.CaptureFixture[str]) -> None:
    generator = str(pipeline_toys.save_gan(tmp_path))
    masks = ["masks", generator, "--pictures=3", "--device=cuda:0"]
    assert cli.main(masks) == 0
    ellipse = np.zeros((256, 256), dtype=np.uint8)
    ellipse[60:200, 40:210] = 255
    for number in range(2):
        Image.fromarray(ellipse).save(tmp_path / "toy-masks" / f"{number:03d}-mask.png")
    assert cli.main([*masks, "--labeled=8", "--steps=2"]) == 0
    assert cli.main(["views", generator, "--azimuths=auto", "--pool=24", "--device=cuda:0"]) == 0, capsys.readouterr()


@pytest.mark.parametrize("make", [stylegan1, stylegan2, stylegan3])
def test_an_imported_generator_waits_for_nothing(make: Callable[[], Any], gpu: PretendCuda) -> None:
    generator = make().to(CUDA)
    for _ in range(2):  # the first image may upload constants
        gpu.waits.clear()
        assert (
            generator.synthesize(generator.styles(generator.map(torch.ones(2, generator.z_dim).to(CUDA)))).device
            == CUDA
        )
        gpu.waits = Counter({line: n for line, n in gpu.waits.items() if line.startswith("ganverse/")})
    assert gpu.waits == {}
