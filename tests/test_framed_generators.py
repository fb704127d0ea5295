"""All stages on GANs whose images are not the squares that the networks see: cropped at import, or larger."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganverse import cli
from ganverse.apps.stage import SIDE, Look
from ganverse.apps.studio import open_stage
from ganverse.data.sampling import SamplingSettings
from ganverse.data.sources import SourceSettings, open_source
from ganverse.errors import GanverseError
from ganverse.evaluation.models import models_of_run
from ganverse.generators.weights import load_generator
from ganverse.io import save_image
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.reconstruction.command import edit_command
from ganverse.worlds.generator import CarWorldGenerator, world_samples
from tests import importing_toys, pipeline_toys
from tests.importing_toys import foreign_modules  # noqa: F401 - a fixture
from tests.pipeline_toys import SIZE

KINDS = {"cropped": (24, 32), "scaled": (64, 64)}
"""Height and width of the images; the networks see squares of `SIZE` pixels."""


@dataclass(frozen=True)
class Trained:
    """A run of all stages, its settings of the data, and what the GAN synthesizes."""

    run: Path
    source: SourceSettings
    size: tuple[int, int]


def import_cropped(folder: Path) -> Path:
    generator = importing_toys.stylegan2(resolution=32, channels=(4, 4, 3, 2))
    path = folder / "their.pkl"
    path.write_bytes(pickle.dumps(importing_toys.ada_content(importing_toys.ada_names(generator))))
    assert cli.main(["import-gan", str(path), "-o", str(folder), "--crop", "32x24", "--view-layers", "2"]) == 0
    imported, card = load_generator(folder / "their.safetensors")
    pipeline_toys.save_views(folder / "their.safetensors", imported, card)
    return folder / "their.safetensors"


@pytest.fixture(params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path: Path, foreign_modules: None) -> Trained:  # noqa: F811
    """generate, inverse, disentangle and the report: 8 images through each training."""
    if request.param == "cropped":
        generator = import_cropped(tmp_path)
    else:
        larger = replace(pipeline_toys.GAN, resolution=64, channels=(8, 8, 8, 8, 4))
        generator = pipeline_toys.save_gan(tmp_path, config=larger)
    segmenter = pipeline_toys.save_segmenter(tmp_path / "segmenter.safetensors")
    precision = "32-true" if request.param == "cropped" else "bf16-mixed"
    path = pipeline_toys.pipeline(tmp_path, generator, images=8, precision=precision)
    document = json.loads(path.read_text())
    for stage in document["stages"].values():
        for settings in stage.values():
            settings.get("data", {}).get("init_args", {}).update(resolution=SIZE, segmenter=str(segmenter))
    path.write_text(json.dumps(document))
    assert cli.train(["--config", str(path)]) == 0
    source = SourceSettings(str(generator), segmenter=segmenter, resolution=SIZE)
    return Trained(tmp_path / "run", source, KINDS[request.param])


def test_all_stages_report_studio_and_edit(trained: Trained, tmp_path: Path) -> None:
    height, width = trained.size
    renderer, card = load_stylegan_r(trained.run)
    bars = renderer.framing.apply(torch.ones(1, 1, height, width))[0, 0] == 0
    assert (card.resolution, card.generator.image_size) == (SIZE, trained.size)
    assert bars.sum() == (SIZE * 8 if height < width else 0)

    first = {"renderer": trained.run / "disentangle/stylegan-r.safetensors"}
    first["reader"] = trained.run / "inverse/inverse.safetensors"
    for settings in (trained.source, replace(trained.source, **first)):
        source = open_source(settings)
        batch = source.sampler(SamplingSettings(attempts=1, block=4)).draw(torch.arange(2)).batch
        assert batch.images.shape[3:] == (SIZE, SIZE)
        assert batch.images[..., bars].abs().max() == 0 if bars.any() else True
    with pytest.raises(GanverseError, match="set resolution"):
        open_source(replace(trained.source, **first, resolution=SIZE // 2))

    network = source.rerendering.reader.network
    scenes = renderer.read(network, batch.images[:, 0], torch.ones_like(batch.masks[:, 0]))
    assert scenes.background[..., bars].abs().sum() == 0
    assert renderer.render(scenes).shape[1:] == (3, height, width)

    (camera, *_) = sorted((trained.run / "disentangle/samples").glob("camera-*.png"))
    with Image.open(camera) as picture:
        assert (picture.height - 19) // 16 == 2 + round(90 * height / width), (
            "two renderers of 8 objects, nothing stretched"
        )
    metrics = json.loads((trained.run / "report/metrics.json").read_text())
    assert {"gan/iou_input", "stylegan_r/quality_ratio", "edits/l1_refined"} <= set(metrics)
    with Image.open(trained.run / "report/figures/stylegan-r-camera.png") as figure:
        assert (figure.height - 19) // 4 == 2 + round(90 * height / width)

    assert models_of_run(trained.run).source == trained.source
    stage = open_stage(run=trained.run, objects=1)
    shown = stage.show(Look("0", "0", "0", 30.0, 10.0))
    assert [image.shape for image in shown] == 2 * [(1, 3, SIDE * height // width, SIDE)]
    with Image.open(BytesIO(stage.thumbnail("0"))) as thumbnail:
        assert thumbnail.width * height == thumbnail.height * width

    _, images, masks = world_samples(5, torch.arange(1), CarWorldGenerator(64))
    save_image(images[0], tmp_path / "photo.png")
    save_image(masks[0].expand(3, -1, -1), tmp_path / "mask.png")
    files = [str(tmp_path / name) for name in ("photo.png", "sheet.png", "mask.png")]
    edit_command([files[0], "-o", files[1], "--mask", files[2], "--weights", str(trained.run), "--steps", "2"])
    with Image.open(files[1]) as sheet:
        assert sheet.size == (10 * 128, 128 * height // width)
