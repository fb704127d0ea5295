import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from ganverse.data.multi_view_folder import FolderWriter
from ganverse.errors import GanverseError
from ganverse.evaluation.held_out import held_out_samples
from ganverse.evaluation.models import (
    ModelPaths,
    SourceSettings,
    load_models,
    models_of_checkpoint,
    models_of_run,
    world_source,
)
from ganverse.masks.mask_rcnn import MaskRCNN
from tests.evaluation.tiny_models import VIEWS, save_everything, tiny_world


def test_everything_is_opened_and_described(tmp_path: Path) -> None:
    models = load_models(save_everything(tmp_path))
    assert models.gan is not None
    assert models.inverse is not None
    assert models.oracle is not None
    world = world_source(models.oracle)
    assert world.generator.resolution == 32
    assert len(world.codes) == VIEWS
    assert models.renderer is None
    assert models.pose is not None
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
    monkeypatch.setattr(MaskRCNN, "from_pretrained", lambda category: wanted.append(category) or nobody)
    saved = save_everything(tmp_path)
    assert saved.source is not None
    models = load_models(replace(saved, source=replace(saved.source, masks="mask-rcnn", category="horse")))
    assert wanted == ["horse"]
    assert models.gan is not None
    assert models.gan.masker is nobody


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(GanverseError, match="expected a generator"):
        load_models(ModelPaths(stylegan_r=Path("somewhere.safetensors")))


def test_the_package_ships_car_models() -> None:
    found = ModelPaths.shipped()
    assert found.source == SourceSettings()
    assert all(path is None or path.is_file() for path in (found.inverse, found.oracle, found.stylegan_r))


STREAM = {"class_path": "MultiViewStream", "init_args": {"generator": "own.safetensors", "category": "horse"}}


def save_run(run: Path, data: dict[str, object], *weights: str) -> Path:
    """What LightningCLI leaves of two stages, `weights` of which have finished."""
    config = {"data": data, "model": {"class_path": "Disentanglement", "init_args": {"inverse": "teacher.safetensors"}}}
    for stage in ("inverse", "disentangle"):
        (run / stage).mkdir(parents=True)
        (run / stage / "config.yaml").write_text(yaml.safe_dump(config))
    for name in weights:
        (run / name).touch()
    return run


def test_models_of_a_run(tmp_path: Path) -> None:
    run = save_run(tmp_path, STREAM, "inverse/inverse.safetensors", "disentangle/stylegan-r.safetensors")
    found = models_of_run(run)
    assert found.source is not None
    assert (found.source.generator, found.source.category) == ("own.safetensors", "horse")
    assert not found.shows_cars
    assert found.inverse == run / "inverse" / "inverse.safetensors"
    assert found.stylegan_r == run / "disentangle" / "stylegan-r.safetensors"
    assert models_of_run(str(run / "inverse")) == replace(found, stylegan_r=None), "a stage's folder will do"
    (run / "inverse" / "inverse.safetensors").unlink()
    assert models_of_run(run).inverse == Path("teacher.safetensors")


def test_a_run_on_the_car_world_is_an_oracle(tmp_path: Path) -> None:
    world = {"class_path": "MultiViewStream", "init_args": {"generator": "car-world"}}
    run = save_run(tmp_path, world, "inverse/inverse.safetensors")
    assert models_of_run(run) == ModelPaths(oracle=run / "inverse" / "inverse.safetensors")
    assert models_of_run(run).shows_cars


def test_a_run_on_a_folder_of_pictures_has_its_held_out_objects(tmp_path: Path) -> None:
    saved = save_everything(tmp_path)
    folder = tmp_path / "pictures"
    writer = FolderWriter(folder, [30.0 * view for view in range(VIEWS)])
    world = tiny_world()
    writer.write(held_out_samples(world, 0, 9, views=2).draw(torch.arange(9)))
    data = {"class_path": "MultiViewFolder", "init_args": {"folder": str(folder), "resolution": 32}}
    run = save_run(tmp_path / "run", data)
    assert saved.inverse is not None
    for ending in (".safetensors", ".json"):
        shutil.copy(saved.inverse.with_suffix(ending), run / "inverse" / f"inverse{ending}")
    paths = models_of_run(run)
    assert paths.source is None
    assert not paths.shows_cars
    samples = load_models(paths).held_out
    assert samples is not None
    assert samples.count == 1
    batch = samples.draw(torch.arange(1))
    assert batch.images.shape == (1, 2, 3, 32, 32)
    assert torch.equal(batch.images[0], held_out_samples(world, 0, 9, views=2).draw(torch.tensor([8])).images[0])


def test_no_run_and_no_weights(tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match="expected a run directory"):
        models_of_run(tmp_path)
    with pytest.raises(GanverseError, match="expected trained weights"):
        models_of_run(save_run(tmp_path, STREAM))


def test_models_of_a_file(tmp_path: Path) -> None:
    saved = save_everything(tmp_path)
    assert saved.inverse is not None
    assert models_of_checkpoint(saved.inverse, "car").inverse == saved.inverse
    assert models_of_checkpoint(saved.inverse, "car-world") == ModelPaths(oracle=saved.inverse)
    with pytest.raises(GanverseError, match="expected weights of"):
        models_of_checkpoint(tmp_path / "gan.safetensors", "car")
