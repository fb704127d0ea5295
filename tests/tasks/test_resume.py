"""Interrupted trainings go on to the same bits; checkpoints of other data and other frozen networks are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch._dynamo.utils import counters

from ganverse.data.sampling import SamplingSettings
from ganverse.data.world_images import WorldImages
from ganverse.errors import GanverseError
from ganverse.inverse.camera_survey import SurveyPlan
from ganverse.tasks.disentanglement import Disentanglement
from ganverse.tasks.image_gan import ImageGAN
from ganverse.tasks.inverse_graphics import InverseGraphics
from tests.tasks import gan_toys, toys

Made = tuple[pl.LightningModule, pl.LightningDataModule]
STEPS = 6
SURVEY = SurveyPlan(at=(0.0, 0.2), after=0, pictures_per_view=2, turns=3, certainty=0.0)
"""Of 12 views and 8 images a step: each survey is decided after three steps."""


def inverse(files: toys.Files, folder: Path) -> Made:
    return toys.inverse(survey=SURVEY), toys.stream(files, 4)


def inverse_without_average(files: toys.Files, folder: Path) -> Made:
    return toys.inverse(ema_half_life=0.0), toys.stream(files)


def disentanglement(files: toys.Files, folder: Path) -> Made:
    """Stage 2 begins with the third step."""
    return toys.disentanglement(files), toys.stream(files, 4)


def gan(files: toys.Files, folder: Path) -> Made:
    """The resolution grows after the second step."""
    return gan_toys.module(), gan_toys.images(folder / "images.npy")


STAGES = [inverse, inverse_without_average, disentanglement, gan]


def trained(made: Made, folder: Path, steps: int, resume: Path | None = None, **settings: object) -> dict:
    """What a checkpoint after so many batches holds. Lightning counts two optimizers of the GAN as two steps."""
    module, data = made
    per_batch = 1 if module.automatic_optimization else 2
    trainer = toys.trainer(folder, max_steps=per_batch * steps, limit_val_batches=0, **settings)
    trainer.fit(module, datamodule=data, ckpt_path=resume)
    trainer.save_checkpoint(folder / "last.ckpt")
    return torch.load(folder / "last.ckpt", weights_only=True)


def gaps(first: dict, second: dict) -> dict[str, float]:
    """Where two checkpoints differ: average and weights."""
    states = ("state_dict", "current_model_state")
    found = [toys.differences(first[state], second[state]) for state in states if state in first]
    return {name: gap for one in found for name, gap in one.items()}


@pytest.mark.parametrize("stage", STAGES)
def test_resumed_training_equals_an_uninterrupted_one(
    stage: Callable[[toys.Files, Path], Made], files: toys.Files, tmp_path: Path
) -> None:
    straight = trained(stage(files, tmp_path), tmp_path, STEPS)
    made = stage(files, tmp_path)
    for steps in (1, 3, 4, STEPS):
        resume = tmp_path / "last.ckpt" if steps > 1 else None
        made = stage(files, tmp_path)
        found = trained(made, tmp_path, steps, resume)
    assert gaps(straight, found) == {}
    assert straight["images_seen"] == found["images_seen"] == made[0].images_seen
    assert [s["last_epoch"] for s in straight["lr_schedulers"]] == [s["last_epoch"] for s in found["lr_schedulers"]]
    states = [checkpoint["optimizer_states"] for checkpoint in (straight, found)]
    assert [[group["lr"] for group in one["param_groups"]] for one in states[0]] == [
        [group["lr"] for group in one["param_groups"]] for one in states[1]
    ]


def test_compiled_networks_keep_their_names_and_resume_to_the_same_bits(tmp_path: Path) -> None:
    """In a process of its own: the checks of types in the tests cannot be traced."""
    call = f"from tests.tasks import test_resume; test_resume.check_compiled({str(tmp_path)!r})"
    environment = {**os.environ, "CXX": sys.executable}
    done = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_compiled(folder: str) -> None:
    """With AOTAutograd alone, which needs no C++ compiler; like all of torch.compile it has no second derivatives."""
    tmp_path, in_place = Path(folder), torch.nn.Module.compile
    torch.nn.Module.compile = lambda network: in_place(network, backend="aot_eager_decomp_partition")
    files = toys.save_files(tmp_path)
    for stage in (inverse, disentanglement, gan):

        def compiled(stage: Callable[[toys.Files, Path], Made] = stage) -> Made:
            module, data = stage(files, tmp_path)
            module.compiled = True
            return module, data

        counters.clear()
        straight = trained(compiled(), tmp_path, 4)
        assert counters["stats"]["unique_graphs"] > 0, stage
        trained(compiled(), tmp_path, 1)
        assert gaps(straight, trained(compiled(), tmp_path, 4, tmp_path / "last.ckpt")) == {}, stage
        assert straight["state_dict"].keys() == trained(stage(files, tmp_path), tmp_path, 1)["state_dict"].keys()


def test_compiling_without_a_compiler_is_a_sentence(
    files: toys.Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    made = gan(files, tmp_path)
    made[0].compiled = True
    with pytest.raises(GanverseError, match="C\\+\\+ compiler for --compile, found no no-such-compiler"):
        trained(made, tmp_path, 1)


@pytest.mark.parametrize("stage", [inverse, disentanglement])
def test_a_checkpoint_on_the_way_is_as_good(
    stage: Callable[[toys.Files, Path], Made], files: toys.Files, tmp_path: Path
) -> None:
    """The process is killed some steps after it was saved."""
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    settings = {"enable_checkpointing": True, "callbacks": [keep]}
    straight = trained(stage(files, tmp_path), tmp_path, STEPS, **settings)
    settings["callbacks"] = [ModelCheckpoint(tmp_path, every_n_train_steps=1)]
    found = trained(stage(files, tmp_path), tmp_path, STEPS, tmp_path / "step=2.ckpt", **settings)
    assert gaps(straight, found) == {}


def test_the_average_is_what_is_loaded_and_validated(files: toys.Files, tmp_path: Path) -> None:
    module, data = inverse(files, tmp_path)
    stored = trained((module, data), tmp_path, 3)
    weights, average = stored["current_model_state"], stored["state_dict"]
    assert max(toys.differences(weights, average).values()) > 1e-5
    assert toys.differences(module.state_dict(), average) == {}, "training ends with the average"
    loaded = InverseGraphics.load_from_checkpoint(tmp_path / "last.ckpt")
    assert toys.differences(loaded.state_dict(), average) == {}
    assert (loaded.images_seen, loaded.network.config, loaded.learning_rate) == (24, toys.NETWORK, module.learning_rate)
    assert len(loaded.camera_history) == len(module.camera_history) > 0
    again = toys.trainer(tmp_path, max_steps=4, limit_val_batches=0)
    again.fit(loaded, datamodule=toys.stream(files, 4), ckpt_path=tmp_path / "last.ckpt")
    assert loaded.images_seen == 32


def test_a_loaded_neural_renderer_renders_the_same(files: toys.Files, tmp_path: Path) -> None:
    module, data = disentanglement(files, tmp_path)
    trained((module, data), tmp_path, 3)
    loaded = Disentanglement.load_from_checkpoint(tmp_path / "last.ckpt")
    assert toys.differences(loaded.state_dict(), module.state_dict()) == {}
    assert (loaded.calibrated, loaded.spread_restored, loaded.settings) == (True, True, toys.SHORT)
    batch = toys.stream(files).preview(2)
    with torch.no_grad():
        one, two = (part.renderer.render(part.observe(batch).inputs) for part in (module, loaded))
    assert torch.equal(one, two)


def test_a_loaded_gan_synthesizes_the_same(files: toys.Files, tmp_path: Path) -> None:
    made = gan(files, tmp_path)
    trained(made, tmp_path, 3)
    loaded = ImageGAN.load_from_checkpoint(tmp_path / "last.ckpt")
    assert loaded.stages == gan_toys.STAGES
    assert torch.equal(loaded.samples(2), made[0].samples(2))


def test_other_data_is_refused(files: toys.Files, tmp_path: Path) -> None:
    trained(inverse(files, tmp_path), tmp_path, 1)
    last = tmp_path / "last.ckpt"
    other = toys.stream(files, 4, sampling=SamplingSettings(seed=2, attempts=1, block=4))
    with pytest.raises(GanverseError, match=r"expected samples .* as in the checkpoint, got"):
        trained((inverse(files, tmp_path)[0], other), tmp_path, 2, last)
    (tmp_path / "other").mkdir()
    stranger = replace(files, generator=toys.save_files(tmp_path / "other", seed=5).generator)
    with pytest.raises(GanverseError, match="expected generator "):
        trained((inverse(files, tmp_path)[0], toys.stream(stranger, 4)), tmp_path, 2, last)
    trained(gan(files, tmp_path), tmp_path, 1)
    images = WorldImages(tmp_path / "images.npy", gan_toys.COUNT, 16, seed=1, batch_size=8, validation_images=0)
    with pytest.raises(GanverseError, match="expected samples"):
        trained((gan_toys.module(), images), tmp_path, 2, last)


def test_other_frozen_networks_are_refused(files: toys.Files, tmp_path: Path) -> None:
    trained(disentanglement(files, tmp_path), tmp_path, 1)
    (tmp_path / "other").mkdir()
    other = toys.save_files(tmp_path / "other")
    torch.manual_seed(9)
    retrained = toys.save_inverse_network(tmp_path / "other" / "inverse.safetensors", other.generator)
    stranger = toys.disentanglement(replace(files, inverse=retrained))
    with pytest.raises(GanverseError, match=r"expected inverse .* as in the checkpoint, got"):
        trained((stranger, toys.stream(files, 4)), tmp_path, 2, tmp_path / "last.ckpt")
    begun = toys.inverse(start=str(files.inverse))
    trained((begun, toys.stream(files, 4)), tmp_path, 1)
    with pytest.raises(GanverseError, match="expected start "):
        trained((toys.inverse(start=str(retrained)), toys.stream(files, 4)), tmp_path, 2, tmp_path / "last.ckpt")
