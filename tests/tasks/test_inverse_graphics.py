from __future__ import annotations

from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
import trimesh
from PIL import Image

from ganverse.data.batch import MultiViewBatch
from ganverse.inverse.camera_survey import SurveyPlan
from ganverse.inverse.losses import InverseLossWeights
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.tasks.inverse import InverseGraphicsTask, InverseSettings
from ganverse.training.camera_history import CameraHistory, read_history
from ganverse.training.inverse_pictures import InversePainter
from ganverse.training.media import Pictures
from tests.inverse.tiny import TINY, tiny_batch, tiny_table

PLAIN = InverseLossWeights(perceptual=0.0, camera=1.0)
SHORT = InverseSettings(images=600, warm_up_images=0, learning_rate=1e-2)


class OneBatch(pl.LightningDataModule):
    """The same batch, again and again."""

    def __init__(self, batch: MultiViewBatch, steps: int) -> None:
        super().__init__()
        self._batches = [batch] * steps

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(self._batches, batch_size=None)

    def transfer_batch_to_device(self, batch: MultiViewBatch, device: torch.device, _: int) -> MultiViewBatch:
        return batch.to(device)


def make_task(settings: InverseSettings = SHORT, weights: InverseLossWeights = PLAIN) -> InverseGraphicsTask:
    torch.manual_seed(0)
    return InverseGraphicsTask(tiny_table(elevation=0.0), TINY, settings, weights)


def fit(task: InverseGraphicsTask, steps: int, tmp_path, callbacks: list[pl.Callback] | None = None) -> pl.Trainer:
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        callbacks=callbacks or [],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, OneBatch(tiny_batch(), steps))
    return trainer


def loss_of(task: InverseGraphicsTask) -> float:
    with torch.no_grad():
        return task.step(tiny_batch()).losses.total(task.weights).item()


def test_training_lowers_the_loss_and_moves_the_cameras(tmp_path):
    # With its full weight the regression of the cameras would hide all the other terms.
    task = make_task(weights=replace(PLAIN, camera=0.1))
    before, table = loss_of(task), task.cameras.all()
    elevation, distance = table.elevation.clone(), table.distance.log().mean().item()
    fit(task, 40, tmp_path)
    assert int(task.images_seen) == 40 * 6
    assert loss_of(task) < 0.85 * before
    after = task.cameras.all()
    assert (after.elevation - elevation).abs().max() > 0.01
    assert after.distance.log().mean().item() == pytest.approx(distance, abs=1e-5)


def test_checkpoint_holds_network_cameras_and_count_but_no_perceptual_net(tmp_path):
    settings = replace(SHORT, perceptual_start=0.0, perceptual_renders=2, perceptual_stages=1)
    task = make_task(settings, InverseLossWeights())
    trainer = fit(task, 1, tmp_path)
    trainer.save_checkpoint(tmp_path / "stage.ckpt")
    checkpoint = torch.load(tmp_path / "stage.ckpt", weights_only=True)
    names = set(checkpoint["state_dict"])
    assert {name.split(".")[0] for name in names} == {"network", "cameras", "survey", "images_seen"}
    assert int(checkpoint["state_dict"]["images_seen"]) == 6
    trained = sum(p.numel() for p in task.parameters())
    assert trained == sum(p.numel() for p in [*task.network.parameters(), *task.cameras.parameters()])
    assert not any(isinstance(module, PerceptualDistance) for module in task.modules())


def test_perceptual_loss_waits_for_its_turn():
    settings = replace(SHORT, perceptual_start=0.5, perceptual_renders=2, perceptual_stages=1)
    task = make_task(settings, InverseLossWeights())
    with torch.no_grad():
        assert task.step(tiny_batch()).losses.perceptual == 0
        task.images_seen.fill_(300)
        assert task.step(tiny_batch()).losses.perceptual > 0
    assert make_task()._plan(600, tiny_batch()) is None


def test_rates_follow_the_images():
    settings = InverseSettings(images=1000, warm_up_images=100, camera_hold=0.5)
    assert settings.network_factor(0) == pytest.approx(0.01)
    assert settings.network_factor(100) > settings.network_factor(500) > settings.network_factor(900)
    assert settings.network_factor(1000) == pytest.approx(0)
    assert settings.camera_factor(0) == settings.camera_factor(500) == 1
    assert settings.camera_factor(750) == pytest.approx(0.5)
    assert settings.camera_factor(1000) == pytest.approx(0)


def test_optimizer_groups_hold_every_trainable_number_once():
    task = make_task()
    optimizer = task.configure_optimizers()
    listed = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in task.parameters() if p.requires_grad}


def test_frozen_cameras_stay(tmp_path):
    torch.manual_seed(0)
    table = tiny_table().requires_grad_(False)
    task = InverseGraphicsTask(table, TINY, SHORT, PLAIN)
    before = {name: value.clone() for name, value in table.state_dict().items()}
    fit(task, 2, tmp_path)
    for name, value in table.state_dict().items():
        assert torch.equal(value, before[name])


def test_pictures_show_every_object(tmp_path):
    task = make_task()
    painter = InversePainter(tiny_batch(), size=24, meshes=1, history=tmp_path / "cameras.jsonl")
    history = CameraHistory(tmp_path / "cameras.jsonl", every=1)
    fit(task, 2, tmp_path, [history, Pictures(tmp_path / "samples", painter, minutes=60)])
    names = ("camera-wheel", "inverse", "object-1")
    files = {path.name: path for path in sorted((tmp_path / "samples").iterdir())}
    assert [name.rsplit("-", 1)[0] for name in files] == [name for name in names for _ in range(2)]
    with Image.open(files["inverse-000000012.png"]) as image:
        assert image.width == 11 * (24 + 2), "eleven columns and the gaps between them"
        assert image.height > 3 * 24
    mesh = trimesh.load(files["object-1-000000012.glb"]).to_mesh()
    assert len(mesh.faces) == len(task.network.template.faces)
    moments = read_history(tmp_path / "cameras.jsonl")
    assert [moment.images for moment in moments] == [0, 6, 12]
    assert moments[0].azimuth_degrees == pytest.approx(tiny_table().azimuth.rad2deg().tolist(), abs=1e-3)


class Verdict(pl.Callback):
    """Before the second step, a survey says that view 1 is seen from its mirror image."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int):
        if batch_idx == 1:
            pl_module.survey.seen.fill_(100.0)
            pl_module.survey.falls[1, 1] = 50.0
            pl_module.survey.squares[1, 1] = 26.0
            self.before = trainer.optimizers[0].state[pl_module.cameras.azimuth]["exp_avg"].clone()

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer):
        if pl_module.survey.finished:
            self.after = optimizer.state[pl_module.cameras.azimuth]["exp_avg"].clone()


def test_what_a_survey_decides_moves_the_camera_and_clears_its_momentum(tmp_path):
    task = make_task(replace(SHORT, camera_rate=1e-9))
    verdict = Verdict()
    fit(task, 2, tmp_path, [verdict])
    expected = [0.0, -60.0, 120.0, 180.0, 240.0, 300.0]
    assert task.cameras.azimuth.rad2deg().tolist() == pytest.approx(expected, abs=1e-3)
    assert verdict.before[1] != 0
    assert verdict.after.tolist() == [0.0 if view == 1 else value for view, value in enumerate(verdict.before.tolist())]


def test_surveys_look_at_the_batches_of_their_share_of_the_training(tmp_path):
    task = make_task(replace(SHORT, survey=SurveyPlan(at=(0.02,), after=0, pictures_per_view=3)))
    fit(task, 4, tmp_path)  # of 6 pictures each: the survey begins with the third
    assert float(task.survey.seen.sum()) == 12.0
    assert (task.survey.squares.sum(dim=1) > 0).equal(task.survey.seen > 0)


def test_offsets_wait_until_the_azimuths_have_arrived(tmp_path):
    task = make_task(replace(SHORT, offset_start=0.02))  # of 600 images: from the third step on
    fit(task, 2, tmp_path)
    assert task.cameras.offset.abs().max() == 0
    task = make_task(replace(SHORT, offset_start=0.02))
    fit(task, 3, tmp_path)
    assert task.cameras.offset.abs().max() > 0
