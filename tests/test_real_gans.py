"""docs/real-gans.md: its commands as they stand, on a small file of the same format and with the same bars."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from ganverse import cli
from ganverse.apps import annotate
from ganverse.generators.weights import load_generator
from ganverse.io import save_image
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.viewpoints.view_codes import ViewCodes
from ganverse.worlds.generator import CarWorldGenerator, world_samples
from tests import importing_toys, pipeline_toys
from tests.importing_toys import foreign_modules  # noqa: F401 - a fixture
from tests.test_own_category import correct_one, paint

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "real-gans.md").read_text()
COMMANDS = [line.split("  #")[0] for line in re.findall(r"```bash\n(.*?)```", PAGE, re.S)[0].splitlines()]
TRAINING = [
    *pipeline_toys.flags("data", pipeline_toys.STREAM),
    *pipeline_toys.flags("trainer", pipeline_toys.TRAINER),
    "--data.masks=segmenter",  # instead of a download
]
TOYS = {
    "masks": ["--labeled=24", "--steps=12", "--device=cpu"],
    "views": ["--pool=60", "--device=cpu"],
    "annotate": ["--pool=4", "--port=0", "--no-browser", "--device=cpu"],
    "car-inverse": [*TRAINING, *pipeline_toys.flags("model", pipeline_toys.INVERSE)],
    "car-disentangle": [*TRAINING, *pipeline_toys.flags("model", pipeline_toys.DISENTANGLE)],
    "evaluate.py": [f"--{name}={value}" for name, value in pipeline_toys.EVALUATION.items()],
    "reconstruct": ["--masks=mask.png", "--device=cpu"],
    "edit": ["--mask=mask.png", "--steps=2", "--device=cpu"],
}
"""What is appended to a command, for it to end within seconds."""


def words(command: str) -> list[str]:
    """A line of the page, for a file of 32 px."""
    given = shlex.split(command.replace("512x384", "32x24"))
    name = given[1] if given[1] in TOYS else Path(given[-1]).stem if given[0] == "python" else given[1]
    return [*given, *TOYS.get(name, [])]


def run(command: str) -> int:
    given = words(command)
    if given[0] == "ganverse":
        return cli.main(given[1:])
    return {"train.py": cli.train, "evaluate.py": cli.evaluate}[given[1]](given[2:])


@pytest.mark.usefixtures("foreign_modules")
def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(annotate, "serve", correct_one)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    gan = importing_toys.stylegan2(resolution=32, channels=(4, 4, 3, 2))
    Path("stylegan2-car-config-f.pkl").write_bytes(importing_toys.pickled(importing_toys.tensorflow2(gan)))
    _, images, masks = world_samples(5, torch.arange(1), CarWorldGenerator(64))
    save_image(images[0], Path("photo.jpg.png"))
    with Image.open("photo.jpg.png") as picture:
        picture.save("photo.jpg")
    save_image(masks[0].expand(3, -1, -1), Path("mask.png"))

    for command in COMMANDS:
        assert run(command) == 0, command
        if command.startswith("ganverse masks"):
            paint(Path("generators/stylegan2-car-config-f-masks"))
            assert run(command) == 0

    generator, card = load_generator(Path("generators/stylegan2-car-config-f.safetensors"))
    assert (generator.image_size, card.config.view_layers) == ((24, 32), 4)
    assert len(ViewCodes.load("generators/stylegan2-car-config-f-views.yaml")) == 39
    renderer, _ = load_stylegan_r(Path("runs/paper-car"))
    assert renderer.generator.image_size == (24, 32)
    assert json.loads(Path("runs/paper-car/report/metrics.json").read_text())
    assert Path("car.glb").stat().st_size > 1000
    with Image.open("sheet.png") as sheet:
        assert sheet.width * 3 == 10 * sheet.height * 4, "ten pictures of 4:3 in a row"


def test_the_table_names_what_is_there() -> None:
    for category, side, count in (("car", 512, 39), ("horse", 256, 22), ("bird", 256, 8)):
        for stage in ("inverse", "disentangle"):
            assert f"{category}-{stage}.yaml" in PAGE
        config = (ROOT / "configs/paper" / f"{category}-inverse.yaml").read_text()
        assert f"and {count} view codes" in config
        (row,) = re.findall(rf"^\| {category}, .*$", PAGE, re.M)
        assert f"| {count} |" in row
        file = yaml.safe_load(config)["data"]["init_args"]["generator"]
        command = COMMANDS[0] if category == "car" else row
        assert f"import-gan {Path(file).stem}.pkl -o {Path(file).parent}/" in command
        assert f"{side} x" in row
