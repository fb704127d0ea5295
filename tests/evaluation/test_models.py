from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from torch import nn

from ganverse.errors import GanverseError
from ganverse.evaluation.models import (
    ModelPaths,
    SourceSettings,
    load_models,
    models_of_checkpoint,
    models_of_run,
)
from ganverse.generators.weights import GeneratorCard, save_generator
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.weights import InverseCard, save_inverse
from ganverse.masks.mask_rcnn import MaskRCNN
from ganverse.viewpoints.view_codes import ViewCodes
from tests.evaluation.tiny_models import VIEWS, tiny_codes, tiny_gan, tiny_inverse


def save_everything(folder: Path, *, views: int = VIEWS, trained_on: str = "") -> ModelPaths:
    """A generator with its codes, a network on it and an oracle."""
    generator, model = tiny_gan(), tiny_inverse()
    gan, network, oracle = (folder / f"{name}.safetensors" for name in ("gan", "inverse", "oracle"))
    card = save_generator(generator, gan, GeneratorCard(generator.config, "Apache-2.0", "tests", 0, 7))
    codes = tiny_codes(generator)
    ViewCodes(card.sha256, codes.view_dims, codes.codes).save(folder / "gan-views.yaml")
    table = CameraTable([0.0] * views, distance=3.0)
    save_inverse(model.network, table, network, InverseCard("gan", trained_on or card.sha256, 5, 0))
    save_inverse(model.network, model.cameras, oracle, InverseCard("car-world", "", 9, 0))
    return ModelPaths(SourceSettings(str(gan)), network, oracle)


def test_everything_is_opened_and_described(tmp_path: Path) -> None:
    models = load_models(save_everything(tmp_path))
    assert models.gan is not None
    assert models.inverse is not None
    assert models.oracle is not None
    assert models.world is not None
    assert models.world.generator.resolution == 32
    assert len(models.world.codes) == VIEWS
    assert models.renderer is None
    assert models.pose is None
    assert models.images_seen == 5
    text = " ".join(models.notes)
    assert "5 images" in text
    assert "9 images" in text
    assert "was trained on generator" not in text


def test_another_generator_is_noted(tmp_path: Path) -> None:
    models = load_models(save_everything(tmp_path, trained_on="f" * 64))
    assert any("trained on generator ffffffffffff" in note for note in models.notes)


def test_cameras_of_other_view_codes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match="view codes it was trained on"):
        load_models(save_everything(tmp_path, views=5))


def test_a_source_on_mask_rcnn_is_evaluated_with_its_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[str] = []
    nobody = MaskRCNN(nn.Identity(), labels=())
    monkeypatch.setattr(MaskRCNN, "coco", lambda category: wanted.append(category) or nobody)
    saved = save_everything(tmp_path)
    assert saved.source is not None
    models = load_models(replace(saved, source=replace(saved.source, masks="mask-rcnn", category="horse")))
    assert wanted == ["horse"]
    assert models.gan is not None
    assert models.gan.masker is nobody


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(GanverseError, match="expected a generator"):
        load_models(ModelPaths(pose_regressor=Path("somewhere.safetensors")))


def test_the_package_ships_car_models() -> None:
    found = ModelPaths.shipped()
    assert found.source == SourceSettings()
    assert found.pose_regressor is not None
    assert all(path is None or path.is_file() for path in (found.inverse, found.oracle, found.stylegan_r))


def save_run(run: Path, config: dict[str, object], *weights: str) -> None:
    for stage in ("inverse", "disentangle"):
        (run / stage).mkdir(parents=True)
        (run / stage / "config.yaml").write_text(yaml.safe_dump(config))
    for name in weights:
        (run / name).touch()


def test_models_of_a_run(tmp_path: Path) -> None:
    config = {"data": {"generator": "own.safetensors", "category": "horse"}, "inverse": "teacher.safetensors"}
    save_run(tmp_path, config, "inverse/inverse.safetensors", "disentangle/stylegan-r.safetensors")
    found = models_of_run(tmp_path)
    assert found.source is not None
    assert (found.source.generator, found.source.category) == ("own.safetensors", "horse")
    assert found.inverse == tmp_path / "inverse" / "inverse.safetensors"
    assert found.stylegan_r == tmp_path / "disentangle" / "stylegan-r.safetensors"
    assert found.pose_regressor is None, "it knows cars"
    (tmp_path / "inverse" / "inverse.safetensors").unlink()
    assert models_of_run(tmp_path).inverse == Path("teacher.safetensors")


def test_a_run_on_the_car_world_is_an_oracle(tmp_path: Path) -> None:
    save_run(tmp_path, {"data": {"generator": "car-world"}}, "inverse/inverse.safetensors")
    assert models_of_run(tmp_path) == ModelPaths(oracle=tmp_path / "inverse" / "inverse.safetensors")


def test_no_run_and_no_weights(tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match="expected a run directory"):
        models_of_run(tmp_path)
    save_run(tmp_path, {"data": {}})
    with pytest.raises(GanverseError, match="expected trained weights"):
        models_of_run(tmp_path)


def test_models_of_a_file(tmp_path: Path) -> None:
    saved = save_everything(tmp_path)
    assert saved.inverse is not None
    assert models_of_checkpoint(saved.inverse, "car").inverse == saved.inverse
    assert models_of_checkpoint(saved.inverse, "car-world") == ModelPaths(oracle=saved.inverse)
    with pytest.raises(GanverseError, match="expected weights of"):
        models_of_checkpoint(tmp_path / "gan.safetensors", "car")
