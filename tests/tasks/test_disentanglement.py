from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from ganverse.data.multi_view_folder import FolderWriter, MultiViewFolder
from ganverse.errors import GanverseError
from ganverse.evaluation.control_figures import CELL
from ganverse.evaluation.picture_table import resized
from ganverse.inverse import perceptual
from ganverse.neural_renderer.found_views import FoundViewSettings
from ganverse.neural_renderer.mapping import MappingSettings
from ganverse.neural_renderer.objective import DisentangleWeights
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.tasks import disentanglement
from ganverse.tasks.disentanglement import Disentanglement
from tests.pipeline_toys import LICENSE
from tests.tasks import toys

BATCH = 4
"""Objects; 8 images a step."""


def fit(made: Disentanglement, files: toys.Files, folder: Path, steps: int, **settings: object) -> pl.Trainer:
    trainer = toys.trainer(folder, max_steps=steps, limit_val_batches=0, **settings)
    trainer.fit(made, datamodule=toys.stream(files, BATCH))
    return trainer


@pytest.fixture
def built(files: toys.Files, tmp_path: Path) -> Disentanglement:
    """With weights of every term, after a single step."""
    made = toys.disentanglement(files, ema_half_life=0.0)
    fit(made, files, tmp_path, 1)
    return made


def test_warm_up_leaves_the_generator_alone_and_fine_tuning_moves_it(files: toys.Files, tmp_path: Path) -> None:
    made = toys.disentanglement(files, ema_half_life=0.0)
    fit(made, files, tmp_path, 1)
    start = {name: value.clone() for name, value in made.renderer.state_dict().items()}
    fit(made, files, tmp_path, 1)
    assert (made.images_seen, made.warming_up) == (16, False)
    changed = toys.differences(made.renderer.state_dict(), start)
    assert changed
    assert not any(name.startswith("generator.") for name in changed)
    cameras = made.renderer.camera_mapping.layers[0].weight.clone()
    fit(made, files, tmp_path, 1)
    assert any(name.startswith("generator.") for name in toys.differences(made.renderer.state_dict(), start))
    assert torch.equal(made.renderer.camera_mapping.layers[0].weight, cameras), "g_v rests in stage 2"


def test_frozen_networks_get_no_gradient_and_stay_out_of_checkpoint_and_parameters(
    files: toys.Files, tmp_path: Path
) -> None:
    made = toys.disentanglement(files)
    trainer = fit(made, files, tmp_path, 3)
    networks = made.networks.networks()
    assert all(p.grad is None and not p.requires_grad for net in networks for p in net.parameters())
    assert not any(net.training for net in networks)
    assert {name.split(".")[0] for name in made.state_dict()} == {
        "renderer",
        "found_styles",
        "found_cameras",
        "found_weights",
    }
    frozen = {id(p) for net in networks for p in net.parameters()}
    assert frozen.isdisjoint(id(p) for p in made.parameters())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert {"generator", "view_codes", "samples", "inverse", "cameras", "segmenter"} == set(
        checkpoint["frozen_weights"]
    )


def test_the_spread_is_restored_once_before_stage_two(files: toys.Files, tmp_path: Path) -> None:
    made = toys.disentanglement(files, ema_half_life=0.0)
    fit(made, files, tmp_path, 2)
    assert not made.spread_restored
    fit(made, files, tmp_path, 1)
    assert made.spread_restored
    after = made.renderer.shape_mapping.layers[-1].weight.clone()
    fit(made, files, tmp_path, 1)
    assert not (made.renderer.shape_mapping.layers[-1].weight / after - 1).abs().median() > 0.1
    plain = toys.disentanglement(files, replace(toys.SHORT, keep_spread=0.0))
    fit(plain, files, tmp_path, 3)
    assert not plain.spread_restored


def test_the_spread_is_that_of_the_frozen_generator_s_styles(files: toys.Files, tmp_path: Path) -> None:
    made = toys.disentanglement(files, replace(toys.SHORT, calibration_images=64, keep_spread=1.0))
    fit(made, files, tmp_path, 1)
    styles = torch.cat([scene.styles for scene in made._draw(1)])
    for parameter in made.renderer.generator.parameters():
        parameter.data *= 2  # what was fine-tuned has no say
    assert torch.equal(torch.cat([scene.styles for scene in made._draw(1)]), styles)
    made._restore_spread(made.renderer)
    predicted = torch.cat([made.renderer.styles(scene.inputs) for scene in made._draw(1)])
    content = made.renderer.content_dims
    assert torch.allclose(predicted.mean(dim=0)[content], styles.mean(dim=0)[content], atol=1e-3)
    assert (predicted.std(dim=0)[content] <= 1.01 * styles.std(dim=0)[content]).all()


def test_training_lowers_the_mapping_loss(files: toys.Files, tmp_path: Path) -> None:
    settings = replace(toys.SHORT, warm_up_images=10_000, mapping_rate=5e-3)
    made = toys.disentanglement(files, settings, ema_half_life=0.0)
    fit(made, files, tmp_path, 1)
    batch = toys.stream(files).preview(8)
    before = made.loss_terms(batch)["mapping"].mean()
    fit(made, files, tmp_path, 40)
    assert made.loss_terms(batch)["mapping"].mean() < 0.95 * before


def test_views_are_found_once(files: toys.Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = FoundViewSettings(candidates=6, objects=2, steps=2, worst=10.0, share=1.0)
    settings = replace(toys.SHORT, found_views=found)
    made = toys.disentanglement(files, settings)
    fit(made, files, tmp_path, 1).save_checkpoint(tmp_path / "last.ckpt")
    assert made.found_weights.any()
    scene = made._under_found_views(made.observe(toys.stream(files).preview(2)))
    assert made.found_cameras[:, 0].isclose(scene.inputs.cameras.azimuth[:, None]).any(dim=0).any()

    def again(*_: object) -> None:
        raise AssertionError("a resumed training looks for views again")

    monkeypatch.setattr(disentanglement, "find_views", again)
    resumed = toys.disentanglement(files, settings)
    trainer = toys.trainer(tmp_path, max_steps=2, limit_val_batches=0)
    trainer.fit(resumed, datamodule=toys.stream(files, BATCH), ckpt_path=tmp_path / "last.ckpt")
    assert torch.equal(resumed.found_weights, made.found_weights)


def test_validation_compares_with_the_gan(files: toys.Files, tmp_path: Path) -> None:
    made = toys.disentanglement(files)
    fit(made, files, tmp_path, 1)
    (tested,) = toys.trainer(tmp_path).test(made, datamodule=toys.stream(files), verbose=False)
    assert set(tested) == {"val/l1", "val/iou"}
    assert 0 < tested["val/l1"] < 1
    assert 0 < tested["val/iou"] <= 1


def test_swaps_are_a_pure_function_of_seed_and_progress(built: Disentanglement, files: toys.Files) -> None:
    scene = built.observe(toys.stream(files).preview(4), views=1)
    first, second = built._swap(scene).scenes, built._swap(scene).scenes
    assert torch.equal(first.cameras.azimuth, second.cameras.azimuth)
    assert torch.equal(first.vertices, second.vertices)
    built.images_seen += 8
    assert not torch.equal(built._swap(scene).scenes.cameras.azimuth, first.cameras.azimuth)


def test_tables_show_what_they_say(built: Disentanglement, files: toys.Files) -> None:
    batch = toys.stream(files).preview(3)
    with torch.no_grad():
        tables = built.sample_media(batch)
        own = built.renderer.render(built.observe(batch)[:3].inputs)
    assert set(tables) == {"camera", "swap-shape", "swap-texture", "swap-background"}
    assert tables["camera"].height > 6 * 90
    assert tables["camera"].width > 13 * 90
    swap = tables["swap-shape"]
    step, shown = CELL + 2, {}
    for row, column in ((0, 0), (1, 2)):
        left, top = swap.width - step * (4 - column), swap.height - step * (3 - row)
        shown[row, column] = np.asarray(swap.crop((left, top, left + CELL, top + CELL))).astype(int)
    assert (shown[0, 0] == np.asarray(resized(batch.images[0, 1], CELL))).all(), "the GAN's own image"
    assert abs(shown[1, 2] - np.asarray(resized(own[1], CELL))).max() <= 1, "the diagonal"
    assert built.sample_media(None) == {}


def test_weights_are_written_and_training_goes_on_from_them(files: toys.Files, tmp_path: Path) -> None:
    made = toys.disentanglement(files)
    fit(made, files, tmp_path, 3)
    path = tmp_path / "stylegan-r.safetensors"
    card = made.save_pretrained(path)
    assert (card.images_seen, card.inverse_sha256, card.license) == (24, made.inverse.card.sha256, LICENSE)
    renderer, stored = load_stylegan_r(path)
    assert stored.generator_sha256 == toys.stream(files).source.sha256
    begun = toys.disentanglement(files, replace(toys.SHORT, keep_spread=0.0), start=str(path), ema_half_life=0.0)
    with torch.no_grad():
        toys.trainer(tmp_path, max_steps=1).validate(begun, datamodule=toys.stream(files), verbose=False)
    assert toys.differences(begun.renderer.state_dict(), renderer.state_dict()) == {}
    other = toys.disentanglement(files, start=str(path), mapping=MappingSettings(width=16, camera_width=8, channels=4))
    with pytest.raises(GanverseError, match="use the same mapping settings"):
        fit(other, files, tmp_path, 1)


def test_what_it_cannot_learn_from_is_refused(files: toys.Files, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(GanverseError, match="train InverseGraphics on this generator first"):
        fit(toys.disentanglement(files), toys.save_files(other, seed=3), tmp_path, 1)
    trainer = toys.trainer(tmp_path, max_steps=1)
    with pytest.raises(GanverseError, match=r"set --data\.resolution 32"):
        trainer.fit(toys.disentanglement(files), datamodule=toys.stream(files, resolution=16))
    FolderWriter(tmp_path / "pictures", toys.AZIMUTHS).write(toys.stream(files).preview(3))
    with pytest.raises(GanverseError, match="expected data from a GAN"):
        toys.trainer(tmp_path, max_steps=1).fit(
            toys.disentanglement(files), datamodule=MultiViewFolder(tmp_path / "pictures", 32, validation_objects=1)
        )


def test_the_perceptual_weights_are_a_setting_that_the_card_names(files: toys.Files, tmp_path: Path) -> None:
    """And never others, whatever lies in a cache."""
    made = toys.disentanglement(files, losses=DisentangleWeights(), ema_half_life=0.0)
    fit(made, files, tmp_path, 1)
    made.save_pretrained(tmp_path / "r.safetensors")
    assert made.hparams["perceptual"] == "stlpips"
    assert load_stylegan_r(tmp_path / "r.safetensors")[1].perceptual == "stlpips-5"
    absent = toys.disentanglement(files, losses=DisentangleWeights(), perceptual="lpips-vgg")
    with pytest.raises(GanverseError, match="expected the perceptual weights lpips-vgg at"):
        fit(absent, files, tmp_path, 1)


def test_images_too_small_to_compare_are_refused_before_training(
    files: toys.Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perceptual, "SMALLEST", toys.SIZE + 1)
    made = toys.disentanglement(files, losses=DisentangleWeights())
    with pytest.raises(GanverseError, match=r"at least 33 px .* got 32; set losses.distill_perceptual to 0"):
        fit(made, files, tmp_path, 1)
    assert made.images_seen == 0
    fit(toys.disentanglement(files), files, tmp_path, 1)


def test_rates_without_decay_are_constant() -> None:
    settings = replace(toys.SHORT, decay=False, mapping_rate=1e-5, fusion_rate=1e-5, synthesis_rate=1e-5)
    settings = replace(settings, fine_tune_factor=1.0, camera_factor=1.0)
    assert settings.rates(0)[:3] == settings.rates(15)[:3] == (1e-5, 1e-5, 1e-5)
    assert settings.rates(16) == settings.rates(32) == (1e-5,) * 5


def test_a_term_without_weight_is_not_computed(files: toys.Files, tmp_path: Path) -> None:
    names = [name for name in vars(DisentangleWeights()) if name != "mapping"]
    made = toys.disentanglement(files, losses=DisentangleWeights(**dict.fromkeys(names, 0.0)), ema_half_life=0.0)
    fit(made, files, tmp_path, 1)
    made.images_seen = toys.SHORT.warm_up_images
    assert made.weights.total(made.loss_terms(toys.stream(files).preview(4))) == 0
