from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import trimesh
from PIL import Image

from ganverse.augmentation import AugmentationSettings
from ganverse.batch import MultiViewBatch
from ganverse.data.multi_view import MultiViewStream
from ganverse.errors import GanverseError
from ganverse.inverse.camera_survey import SurveyPlan
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.losses import InverseLossWeights
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import load_inverse
from ganverse.tasks.inverse_graphics import CameraStart, InverseGraphics, PerceptualSettings
from tests.inverse.tiny import AZIMUTHS, TINY, tiny_batch, tiny_table
from tests.pipeline_toys import LICENSE
from tests.tasks import toys

PLAIN = InverseLossWeights(perceptual=0.0, camera=1.0)


class OneBatch(pl.LightningDataModule):
    """The same batch again and again; of no multi-view source."""

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader([tiny_batch()] * 100, batch_size=None)

    val_dataloader = train_dataloader


def module(**settings: object) -> InverseGraphics:
    """For the ellipsoids of `tiny_batch`, of which there are 6 images in a step."""
    torch.manual_seed(0)
    own = {"images": 600, "warm_up_images": 0, "learning_rate": 1e-2, "losses": PLAIN, "ema_half_life": 0.0}
    return InverseGraphics(TINY, azimuth_degrees=AZIMUTHS, **{**own, **settings})


def fit(made: InverseGraphics, steps: int, folder: Path, **settings: object) -> pl.Trainer:
    trainer = toys.trainer(folder, max_steps=steps, limit_val_batches=0, **settings)
    trainer.fit(made, datamodule=OneBatch())
    return trainer


def loss_of(made: InverseGraphics) -> float:
    with torch.no_grad():
        return made.step(tiny_batch()).losses.total(made.weights).item()


def test_training_lowers_the_loss_and_moves_the_cameras(tmp_path: Path) -> None:
    # with its full weight the regression of the cameras would hide all the other terms
    made = module(losses=replace(PLAIN, camera=0.1))
    before, table = loss_of(made), made.cameras.all()
    elevation, distance = table.elevation.clone(), table.distance.log().mean().item()
    fit(made, 40, tmp_path)
    assert made.images_seen == 40 * 6
    assert loss_of(made) < 0.85 * before
    after = made.cameras.all()
    assert (after.elevation - elevation).abs().max() > 0.01
    assert after.distance.log().mean().item() == pytest.approx(distance, abs=1e-5)


def test_training_ends_after_the_images(tmp_path: Path) -> None:
    made = module(images=20)
    trainer = fit(made, -1, tmp_path)
    assert (made.images_seen, trainer.global_step) == (24, 4)
    fit(made, -1, tmp_path)
    assert made.images_seen == 24, "nothing is left to do"


def test_network_and_cameras_are_those_of_the_data(files: toys.Files, tmp_path: Path) -> None:
    made = toys.inverse(network=replace(toys.NETWORK, resolution=64))
    toys.trainer(tmp_path, max_steps=1).fit(made, datamodule=toys.stream(files))
    assert made.network.config == toys.NETWORK, "32 px, whatever was said"
    assert made.cameras.all().azimuth.rad2deg().remainder(360).tolist() == pytest.approx(toys.AZIMUTHS, abs=1)
    assert made.hparams["azimuth_degrees"] == list(toys.AZIMUTHS)
    assert made.hparams["network"]["resolution"] == toys.SIZE


def test_a_datamodule_is_needed(tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match="expected a multi-view DataModule"):
        toys.trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(toys.inverse(), datamodule=OneBatch())


def test_axes_can_be_measured(files: toys.Files, tmp_path: Path) -> None:
    made = toys.inverse(ellipsoid="measured")
    toys.trainer(tmp_path, max_steps=1).fit(made, datamodule=toys.stream(files))
    assert made.network.config.axes != toys.NETWORK.axes
    assert made.hparams["network"]["axes"] == list(made.network.config.axes)
    assert made.hparams["ellipsoid"] == "given", "as measured, once and for all"


def test_checkpoint_holds_network_cameras_and_survey_but_no_perceptual_net(tmp_path: Path) -> None:
    made = module(losses=InverseLossWeights(), perceptual=PerceptualSettings(start=0.0, renders=2, stages=1))
    fit(made, 1, tmp_path).save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert {name.split(".")[0] for name in checkpoint["state_dict"]} == {"network", "cameras", "survey"}
    assert checkpoint["images_seen"] == 6
    trained = sum(p.numel() for p in made.parameters())
    assert trained == sum(p.numel() for p in [*made.network.parameters(), *made.cameras.parameters()])
    assert not any(isinstance(part, PerceptualDistance) for part in made.modules())


@pytest.mark.parametrize("symmetric", [True, False])
def test_training_samples_are_augmented_and_held_out_ones_are_not(
    symmetric: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = AugmentationSettings(background=0, color=0, crop=0, seed=2)
    torch.manual_seed(0)
    made = InverseGraphics(replace(TINY, symmetric=symmetric), azimuth_degrees=AZIMUTHS, augmentation=settings)
    seen, step = [], made.step
    monkeypatch.setattr(made, "step", lambda batch: seen.append(batch) or step(batch))
    fit(made, 1, tmp_path)
    toys.trainer(tmp_path, limit_val_batches=1).validate(made, datamodule=OneBatch(), verbose=False)
    plain = tiny_batch().images
    assert seen[1].placement is None
    assert torch.equal(seen[1].images, plain)
    mirrored = seen[0].placement[:, 0, 0] < 0
    assert mirrored.any() == symmetric
    torch.testing.assert_close(seen[0].images, torch.where(mirrored.view(-1, 1, 1, 1, 1), plain.flip(4), plain))


def test_perceptual_loss_waits_for_its_turn() -> None:
    made = module(losses=InverseLossWeights(), perceptual=PerceptualSettings(start=0.5, renders=2, stages=1))
    made.on_fit_start()
    with torch.no_grad():
        assert made.step(tiny_batch()).losses.perceptual == 0
        made.images_seen = 300
        assert made.step(tiny_batch()).losses.perceptual > 0
        assert made.eval().step(tiny_batch()).losses.perceptual == 0, "not in validation"
    plain = module()
    plain.on_fit_start()
    plain.images_seen = 300
    assert plain.step(tiny_batch()).losses.perceptual == 0


def test_rates_follow_the_images() -> None:
    made = module(images=1000, warm_up_images=100, camera_hold=0.5, offset_start=0.2)
    assert made.network_factor(0) == pytest.approx(0.01)
    assert made.network_factor(100) > made.network_factor(500) > made.network_factor(900)
    assert made.network_factor(1000) == pytest.approx(0)
    assert made.camera_factor(0) == made.camera_factor(500) == 1
    assert made.camera_factor(750) == pytest.approx(0.5)
    assert made.camera_factor(1000) == pytest.approx(0)
    assert (made.offset_factor(199), made.offset_factor(200)) == (0, 1)
    made = module(images=1000, warm_up_images=100, decay=False)
    assert [made.network_factor(seen) for seen in (49, 100, 1000)] == [0.5, 1, 1]
    assert made.camera_factor(1000) == 1


def test_learning_rates_of_a_step_are_those_of_its_images(tmp_path: Path) -> None:
    made = module(images=600, warm_up_images=60)
    trainer = fit(made, 2, tmp_path)
    rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
    expected = made.learning_rate * made.network_factor(12)
    assert rates == pytest.approx([expected, expected * made.mean_rate_factor, made.camera_rate, 0.0])


def test_optimizer_groups_hold_every_trainable_number_once(tmp_path: Path) -> None:
    trainer = fit(made := module(), 1, tmp_path)
    listed = [id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in made.parameters() if p.requires_grad}
    assert trainer.optimizers[0].param_groups[0]["weight_decay"] == made.weight_decay


class KnownCameras(MultiViewStream):
    """Images rendered with cameras that are known."""

    @cached_property
    def known_cameras(self) -> CameraTable:
        return CameraTable(toys.AZIMUTHS, elevation_degrees=7.0, distance=3.0)


def test_known_cameras_stay(files: toys.Files, tmp_path: Path) -> None:
    made, data = toys.inverse(), toys.stream(files, kind=KnownCameras)
    toys.trainer(tmp_path, max_steps=2).fit(made, datamodule=data)
    assert toys.differences(made.cameras.state_dict(), data.known_cameras.state_dict()) == {}
    assert not any(p.requires_grad for p in made.cameras.parameters())


def test_offsets_wait_until_the_azimuths_have_arrived(tmp_path: Path) -> None:
    for steps, moves in ((2, False), (3, True)):  # 0.02 of 600 images: from the third step on
        made = module(offset_start=0.02)
        fit(made, steps, tmp_path)
        assert bool(made.cameras.offset.abs().max() > 0) == moves
    fixed = module(cameras=CameraStart(learn_offset=False), offset_start=0.0)
    fit(fixed, 3, tmp_path)
    assert fixed.cameras.offset.abs().max() == 0


class Verdict(pl.Callback):
    """Before the second step, a survey finds that view 1 is seen from its mirror image."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int):
        if batch_idx == 1:
            survey = pl_module.survey
            survey.seen.fill_(100.0)
            survey.falls[1, 1], survey.squares[1, 1] = 50.0, 26.0
            survey.pictures = survey.plan.pictures_per_view * len(survey.seen)
            self.before = trainer.optimizers[0].state[pl_module.cameras.azimuth]["exp_avg"].clone()

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer):
        if pl_module.survey.finished:
            self.after = optimizer.state[pl_module.cameras.azimuth]["exp_avg"].clone()


def test_what_a_survey_decides_moves_the_camera_and_clears_its_momentum(tmp_path: Path) -> None:
    made, verdict = module(camera_rate=1e-9), Verdict()
    fit(made, 2, tmp_path, callbacks=[verdict])
    expected = [0.0, -60.0, 120.0, 180.0, 240.0, 300.0]
    assert made.cameras.azimuth.rad2deg().tolist() == pytest.approx(expected, abs=1e-3)
    assert verdict.before[1] != 0
    assert verdict.after.tolist() == [0.0 if view == 1 else value for view, value in enumerate(verdict.before.tolist())]


def test_a_survey_of_cameras_without_offsets_leaves_a_checkpoint(tmp_path: Path) -> None:
    made = module(cameras=CameraStart(learn_offset=False))
    fit(made, 2, tmp_path, callbacks=[Verdict()]).save_checkpoint(tmp_path / "last.ckpt")
    assert not load_inverse(tmp_path / "last.ckpt").card.learn_offset


def test_offsets_are_learned_after_a_start_from_a_checkpoint_before_them(tmp_path: Path) -> None:
    fit(module(offset_start=1.0), 1, tmp_path).save_checkpoint(tmp_path / "last.ckpt")
    further = module(offset_start=0.0, start=str(tmp_path / "last.ckpt"))
    fit(further, 2, tmp_path)
    assert further.cameras.offset.abs().max() > 0


def test_surveys_look_at_the_batches_of_their_share_of_the_training(tmp_path: Path) -> None:
    made = module(survey=SurveyPlan(at=(0.02,), after=0, pictures_per_view=3))
    fit(made, 4, tmp_path)  # of 6 images each: the survey begins with the third
    assert made.survey.pictures == 12
    assert float(made.survey.seen.sum()) == 12.0
    assert (made.survey.squares.sum(dim=1) > 0).equal(made.survey.seen > 0)


def test_training_goes_on_from_trained_weights(files: toys.Files, tmp_path: Path) -> None:
    finer = toys.inverse(start=str(files.inverse), network=replace(toys.NETWORK, subdivisions=2))
    toys.trainer(tmp_path, fast_dev_run=True).fit(finer, datamodule=toys.stream(files))
    assert finer.network.template.vertices.shape[1] == 162
    begun = toys.inverse(start=str(files.inverse), learning_rate=1e-12, camera_rate=1e-12)
    toys.trainer(tmp_path, max_steps=1).fit(begun, datamodule=toys.stream(files))
    trained = load_inverse(files.inverse)
    assert max(toys.differences(begun.network.state_dict(), trained.network.state_dict()).values(), default=0) < 1e-9
    assert begun.fingerprints()["start"] == trained.card.sha256
    other = toys.inverse(start=str(files.inverse), network=replace(toys.NETWORK, latent=32))
    with pytest.raises(GanverseError, match="weights to start from"):
        toys.trainer(tmp_path, max_steps=1).fit(other, datamodule=toys.stream(files))


class Logged(pl.Callback):
    """All that validation has logged."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_validation_scores_held_out_objects(files: toys.Files, tmp_path: Path) -> None:
    made, logged = toys.inverse(), Logged()
    trainer = toys.trainer(tmp_path, max_steps=1, val_check_interval=1, callbacks=[logged])
    trainer.fit(made, datamodule=toys.stream(files, validation_objects=3))
    values = {name: value for name, value in logged.metrics.items() if name.startswith("val/")}
    assert {"val/iou/own_view", "val/iou/other_view", "val/chroma_error", "val/loss/silhouette"} <= values.keys()
    assert 0 < values["val/iou/own_view"] < 1
    (tested,) = trainer.test(made, datamodule=toys.stream(files, validation_objects=3), verbose=False)
    assert tested == pytest.approx(values, rel=1e-4), "the same samples, the same average weights"


def test_media_show_every_object() -> None:
    made = module()
    fresh = made.sample_media(tiny_batch())
    assert set(fresh) == {"inverse", "object-1", "object-2"}
    made._note_cameras()
    media = made.sample_media(tiny_batch())
    assert set(media) == {"inverse", "object-1", "object-2", "camera-wheel"}
    table = media["inverse"]
    assert isinstance(table, Image.Image)
    assert table.width > 11 * 108, "eleven columns and the gaps between them"
    assert table.height > 3 * 108
    mesh = media["object-1"]
    assert isinstance(mesh, bytes)
    loaded = trimesh.load(trimesh.util.wrap_as_stream(mesh), file_type="glb").to_mesh()
    assert len(loaded.faces) == len(made.network.template.faces)
    assert made.sample_media(None) == {}
    assert made.camera_history[0][1] == pytest.approx(tiny_table().azimuth.rad2deg().tolist(), abs=1e-3)


def test_weights_are_written_with_their_card(files: toys.Files, tmp_path: Path) -> None:
    made = toys.inverse()
    toys.trainer(tmp_path, max_steps=2).fit(made, datamodule=toys.stream(files))
    card = made.save_pretrained(tmp_path / "inverse.safetensors")
    assert (card.generator, card.images_seen, card.views) == ("toy", 8, toys.VIEWS)
    assert card.license == LICENSE, "the generator's"
    assert card.generator_sha256 == toys.stream(files).source.sha256
    stored = load_inverse(tmp_path / "inverse.safetensors")
    assert toys.differences(stored.network.state_dict(), copy.deepcopy(made.network).state_dict()) == {}


@pytest.mark.parametrize(
    "wrong",
    [{"learning_rate": 0.0}, {"clip": -1.0}, {"weight_decay": -1.0}, {"images": 0}, {"ema_half_life": -1.0}],
    ids=str,
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(GanverseError, match="expected"):
        InverseGraphics(**wrong)


def test_nested_settings_out_of_range() -> None:
    with pytest.raises(GanverseError, match="distance"):
        CameraStart(distance=0.5)
    with pytest.raises(GanverseError, match="stages"):
        PerceptualSettings(stages=6)


def test_a_batch_moves_to_the_device() -> None:
    moved = tiny_batch().to("meta")
    assert isinstance(moved, MultiViewBatch)
    assert moved.images.is_meta
