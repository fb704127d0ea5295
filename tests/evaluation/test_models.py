from pathlib import Path

import pytest
from torch import nn

from ganverse.data.sources import DataSettings
from ganverse.errors import GanverseError
from ganverse.evaluation.models import load_models, world_source
from ganverse.evaluation.settings import ModelPaths
from ganverse.generators.stylegan2 import StyleGAN2Generator
from ganverse.generators.weights import GeneratorCard, save_generator
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.weights import InverseCard, save_inverse
from ganverse.masks.mask_rcnn import MaskRCNN
from ganverse.pipeline.report import source_models
from ganverse.viewpoints.view_codes import ViewCodes
from tests.evaluation.tiny_models import VIEWS, tiny_codes, tiny_gan, tiny_inverse


def save_everything(folder: Path, *, views: int = VIEWS, trained_on: str = "") -> ModelPaths:
    """A generator with its codes, a network on it and a oracle."""
    generator: StyleGAN2Generator = tiny_gan()
    model = tiny_inverse()
    paths = ModelPaths(
        folder / "gan.safetensors", folder / "gan.yaml", folder / "inverse.safetensors", folder / "oracle.safetensors"
    )
    assert paths.generator
    assert paths.view_codes
    assert paths.inverse
    assert paths.oracle
    card = save_generator(generator, paths.generator, GeneratorCard(generator.config, "Apache-2.0", "tests", 0, 7))
    codes = tiny_codes(generator)
    ViewCodes(card.sha256, codes.view_dims, codes.codes).save(paths.view_codes)
    table = CameraTable([0.0] * views, distance=3.0)
    save_inverse(model.network, table, paths.inverse, InverseCard("gan", trained_on or card.sha256, 5, 0))
    save_inverse(model.network, model.cameras, paths.oracle, InverseCard("car-world", "", 9, 0))
    return paths


def test_everything_is_opened_and_described(tmp_path: Path) -> None:
    models = load_models(save_everything(tmp_path))
    assert models.gan is not None
    assert models.inverse is not None
    assert models.oracle is not None
    assert models.world is not None
    assert len(models.world.codes) == VIEWS
    assert models.renderer is None
    assert models.pose is None
    assert models.gan.masker is None
    text = " ".join(models.notes)
    assert "7 images seen" in text
    assert "5 pictures" in text
    assert "9 pictures" in text
    assert "was trained on generator" not in text


def test_another_generator_is_noted(tmp_path: Path) -> None:
    models = load_models(save_everything(tmp_path, trained_on="f" * 64))
    assert any("trained on generator ffffffffffff" in note for note in models.notes)


def test_cameras_of_other_view_codes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match="view codes it was trained on"):
        load_models(save_everything(tmp_path, views=5))


def test_a_run_on_mask_rcnn_is_evaluated_with_its_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[str] = []
    nobody = MaskRCNN(nn.Identity(), labels=())
    monkeypatch.setattr(MaskRCNN, "coco", lambda category: wanted.append(category) or nobody)
    saved = save_everything(tmp_path)
    data = DataSettings(str(saved.generator), saved.view_codes, masks="mask-rcnn", category="horse")
    paths = source_models(data, saved.inverse, None)
    assert paths.segmenter is None, "there is none for horses, and none is asked for"
    models = load_models(paths)
    assert wanted == ["horse"]
    assert models.gan is not None
    assert models.gan.masker is nobody


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(GanverseError, match="at least a generator"):
        load_models(ModelPaths(segmenter=Path("somewhere.safetensors")))


def test_the_world_has_the_oracle_s_resolution_and_views() -> None:
    source = world_source(tiny_inverse())
    assert source.generator.resolution == 32
    assert len(source.codes) == VIEWS
