"""The commands of README.md and the guides: those of ganverse run, those of train.py and evaluate.py are complete."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from ganverse import cli
from ganverse.apps import annotate, studio
from ganverse.pretrained import SHIPPED
from tests import pipeline_toys as toys
from tests import test_own_category, test_real_gans
from tests.apps.studio_toys import photo_file
from tests.test_own_category import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PIPELINES = ("configs/demo.yaml", "configs/car/rounds.yaml")  # tests/test_pipeline.py and tests/test_rounds.py run them
RUN_HERE = ("getting-started", "reconstruction", "editing", "annotate", "studio")
ELSEWHERE = {
    *test_own_category.COMMANDS,
    *test_own_category.FURTHER,
    *map(str.strip, test_real_gans.COMMANDS),
    "python3 -m venv .venv && source .venv/bin/activate",
    "pip install .",  # tests/test_wheel.py and `make package`
    'pip install ".[apps]"',
    "make demo",  # tests/test_pipeline.py runs its stages
    "make test",
}
UNTESTED = r"ganverse import-gan .*|sha256sum .*|python|hf upload .*"  # tests/importing; the last one needs an account
FAST = {  # what is appended to a command, for it to end within seconds
    "annotate": ["--pool=4", "--port=0", "--no-browser"],
    "edit": ["--steps=1"],
    "studio": ["--objects=1", "--port=0", "--no-browser"],
}


def commands(page: Path, wanted: str = "bash") -> list[str]:
    """The lines of a page's blocks of a language, without their comments."""
    text = re.sub(r" - <<'END'\n.*?\nEND$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M)
    lines = [line for language, block in blocks if language == wanted for line in block.splitlines()]
    return [re.split(r"\s+#", line)[0].strip() for line in lines if not line.startswith("#")]


def of_lightning(page: Path) -> list[str]:
    """What follows train.py or evaluate.py."""
    found = re.compile(r"^(?:python|torchrun .*?|sbatch) ?(train\.py|evaluate\.py|configs/cluster/slurm\.sbatch)\b")
    return [line for line in commands(page) if found.match(line)]


@pytest.mark.parametrize("page", [page for page in PAGES if of_lightning(page)], ids=lambda page: page.stem)
def test_settings_exist(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning's parser takes every line; files that a page speaks of are there."""
    for line in of_lightning(page):
        program, given = re.search(r"(train|evaluate|slurm)\.(?:py|sbatch)\b(.*)", line).groups()
        arguments = shlex.split(given)
        assert all((ROOT / word).is_file() for word in arguments if word.startswith("configs/")), line
        if not arguments or {*PIPELINES, "--run", "--model.help"} & set(arguments):
            continue
        with pytest.raises(SystemExit) as stop:
            (cli.evaluate if program == "evaluate" else cli.train)([*arguments, "--print_config"])
        assert stop.value.code == 0, line


def test_the_guide_has_the_readmes_six_commands() -> None:
    assert (
        [line for line in commands(ROOT / "docs" / "your-own-category.md") if line in COMMANDS]
        == [
            COMMANDS[0],
            *[COMMANDS[1]] * 2,  # masks, twice
            *COMMANDS[2:],
        ]
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_has_a_test(page: Path) -> None:
    """No shell line of README.md or docs/ is left to chance, and none hides in a block without a language."""
    covered = {*of_lightning(page), *ELSEWHERE, *commands(ROOT / "docs" / "your-own-pictures.md")[:3]}
    for line in commands(page):
        here = page.stem in RUN_HERE and line.startswith("ganverse ")
        assert here or line in covered or re.fullmatch(UNTESTED, line), f"{page.name}: no test runs {line}"
    assert not [line for line in commands(page, "") if re.match(r"(ganverse|python|pip|make|torchrun) ", line)]


@pytest.mark.parametrize("page", RUN_HERE)
def test_commands_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for line in commands(ROOT / "docs" / f"{page}.md") if line.startswith("ganverse ")]
    assert lines
    monkeypatch.chdir(tmp_path)
    for module in (annotate, studio):
        monkeypatch.setattr(module, "serve", lambda *_, **__: None)
    prepare()
    for line in lines:
        words = shlex.split(line)[1:]
        assert cli.main([*words, *FAST.get(words[0], [])]) == 0, line


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md", "docs/reconstruction.md", "docs/editing.md"])
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands; the README's training has a test of its own in tests/test_cli.py."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.S | re.M)
    monkeypatch.chdir(tmp_path)
    prepare()
    for block in blocks:
        if "Trainer(" not in block:
            exec(block, {})  # noqa: S102 - the page's own lines, the way a reader runs them
    assert Path("car.glb").is_file() or "Editor" in blocks[0]


def prepare() -> None:
    """What a reader has: photos, a mask, a GAN, a trained run."""
    for name in ("photo.jpg", "other.jpg", "third.jpg", "photos/one.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(photo_file("JPEG"))
    with Image.open("photo.jpg") as photo:
        mask = Image.new("L", photo.size)
    mask.paste(255, (20, 30, 76, 70))
    mask.save("mask.png")
    toys.save_gan(Path())
    for ending in (".safetensors", ".json"):
        Path(f"toy{ending}").rename(f"my-gan{ending}")
        for shipped, places in (
            ("inverse-car", ("a", "runs/mine/inverse/inverse")),
            ("stylegan-r-car", ("b", "runs/mine/disentangle/stylegan-r")),
        ):
            for place in places:
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                Path(place).with_name("config.yaml").write_text(
                    yaml.safe_dump({"data": {"class_path": "MultiViewStream"}})
                )
                shutil.copy(SHIPPED / f"{shipped}{ending}", f"{place}{ending}")


def test_your_own_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's training on a folder, and what it gives."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    prepare()
    Path("FOLDER").mkdir()
    Path("FOLDER/views.yaml").write_text(yaml.safe_dump({"front": 0, "left": 90}))
    for number, view in ((n, v) for n in range(8) for v in ("front", "left")):
        picture = Path(f"FOLDER/{number}/{view}.png")
        picture.parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), (9 * number, 99, 0)).save(picture)
        mask = Image.new("L", (32, 32))
        mask.paste(255, (4, 10, 28, 26))
        mask.save(picture.with_name(f"{view}-mask.png"))
    train, evaluate, reconstruct = commands(ROOT / "docs" / "your-own-pictures.md")[:3]
    small = [*toys.flags("model", toys.INVERSE), *toys.flags("trainer", toys.TRAINER)]
    data = ["--data.batch_size=2", "--data.resolution=32"]
    assert cli.train([*shlex.split(train)[2:], *small, *data]) == 0
    assert cli.evaluate([*shlex.split(evaluate)[2:], *(f"--{k}={v}" for k, v in toys.EVALUATION.items())]) == 0
    assert cli.main(shlex.split(reconstruct)[1:]) == 0
    assert Path("mesh.glb").read_bytes()[:4] == b"glTF"
