"""README, "Train your own category in six commands", and its guides: their lines as they stand, on a tiny GAN."""

from __future__ import annotations

import json
import pickle
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette

from ganverse import cli
from ganverse.apps import annotate
from ganverse.inverse.weights import load_inverse
from ganverse.viewpoints.view_codes import ViewCodes
from tests import importing_toys, pipeline_toys
from tests.apps.serving import client
from tests.importing_toys import foreign_modules  # noqa: F401 - a fixture

ROOT = Path(__file__).parent.parent
SECTION = (ROOT / "README.md").read_text().split("## Train your own category in six commands")[1].split("\n## ")[0]
COMMANDS = [line.split("  #")[0].strip() for line in re.findall(r"```bash\n(.*?)```", SECTION, re.S)[0].splitlines()]
GUIDES = "".join((ROOT / "docs" / f"your-own-{name}.md").read_text() for name in ("category", "pictures"))
FURTHER = [line for line in re.findall(r"^(?:ganverse|python) .*\bmine/.*$", GUIDES, re.M) if line not in COMMANDS]
"""What the guides do with the same GAN, afterwards."""
SMALL = [
    *pipeline_toys.flags("model", pipeline_toys.INVERSE),
    *pipeline_toys.flags("trainer", pipeline_toys.TRAINER),
]
TOYS = {  # what is appended to a command, for it to end within seconds
    "masks": ["--labeled=24", "--steps=12"],
    "views": ["--pool=16", "--codes=8"],
    "annotate": ["--pool=4", "--port=0", "--no-browser"],
    "train.py": [*SMALL, *pipeline_toys.flags("data", pipeline_toys.STREAM)],
    "evaluate.py": [f"--{name}={value}" for name, value in pipeline_toys.EVALUATION.items()],
    "predict": ["--model.samples=8", "--trainer.accelerator=cpu", *pipeline_toys.flags("data", pipeline_toys.STREAM)],
    "MultiViewFolder": [*SMALL, "--data.batch_size=2", "--data.resolution=32"],
}


def write_nvidia_file(path: Path) -> None:
    """What stylegan2-ada-pytorch would have saved."""
    generator = importing_toys.stylegan2(resolution=32, channels=(4, 4, 3, 2))
    path.write_bytes(pickle.dumps(importing_toys.ada_content(importing_toys.ada_names(generator))))


def paint(folder: Path) -> None:
    """An ellipse in the middle of every picture."""
    for path in sorted(folder.glob("???.png")):
        with Image.open(path) as picture:
            width, height = picture.size
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        inside = (x / 0.8) ** 2 + (y / 0.6) ** 2 < 1
        Image.fromarray((255 * inside).astype(np.uint8)).save(path.with_name(f"{path.stem}-mask.png"))


def correct_one(app: Starlette, *_: object, **__: object) -> None:
    """The person at the page: puts the first view code at 123 degrees."""
    with client(app) as page:
        state = page.get("/state").json()
        seed = int(next(iter(state["azimuths"])))
        decision = {"revision": state["revision"], "decisions": [{"seed": seed, "azimuth": 123}]}
        assert page.post("/decisions", json=decision).status_code == 200


@pytest.mark.usefixtures("foreign_modules")
def test_six_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(annotate, "serve", correct_one)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    write_nvidia_file(Path("my-gan.pkl"))
    assert len(COMMANDS) == 6
    for command in COMMANDS:
        assert run(command) == 0, command
        if command.startswith("ganverse masks"):
            assert not Path("mine/my-gan-segmenter.safetensors").exists()
            paint(Path("mine/my-gan-masks"))
            assert run(command) == 0
    assert 0 < json.loads(Path("mine/my-gan-segmenter.json").read_text())["left_out_iou"] <= 1
    codes = ViewCodes.load("mine/my-gan-views.yaml")
    assert len(codes) == 8
    assert 123 in [code.azimuth_degrees for code in codes.codes]
    model = load_inverse(Path("runs/mine/inverse/inverse.safetensors"))
    assert len(model.cameras) == len(codes)
    x, y, z = model.card.config.axes
    assert model.card.config.resolution == 32
    assert min(x, y, z) >= 0.1
    metrics = json.loads(Path("runs/mine/report/metrics.json").read_text())
    assert 0 <= metrics["gan/iou_input"] <= 1
    assert not any(name.startswith(("world/", "oracle/")) for name in metrics), "the car world says nothing here"
    assert Path("runs/mine/report/index.html").is_file()
    assert len(FURTHER) == 4
    with Image.open("mine/my-gan-masks/000.png") as picture:
        picture.save("photo.jpg")
    for command in FURTHER:
        assert run(command) == 0, command
    assert Path("mesh.glb").is_file()
    assert len(list(Path("mine/samples").glob("*/*-mask.png"))) == 16
    assert len(load_inverse(Path("runs/masks/inverse/inverse.safetensors")).cameras) > 0


def run(command: str) -> int:
    """A line of the README, in this process."""
    words = shlex.split(command)
    kind = next((word for word in ("predict", "MultiViewFolder") if word in words), words[1])
    given = [*words, *TOYS.get(kind, [])]
    if words[0] == "ganverse":
        return cli.main(given[1:])
    python, script, *arguments = given
    assert python == "python"
    assert (ROOT / script).is_file()
    return {"train.py": cli.train, "evaluate.py": cli.evaluate}[script](arguments)
