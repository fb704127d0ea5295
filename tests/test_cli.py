"""The command line: help as checked in, exit statuses, light imports, Lightning's flags, the README's script."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ganverse import __version__, cli, data, tasks
from ganverse.errors import GanverseError
from tests import pipeline_toys as toys

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "help"
RENEW = "GANVERSE_RENEW_HELP"
HELP = {
    "ganverse": ["--help"],
    "train": ["train", "--help"],
    **{f"model-{name}": ["train", "fit", "--model.help", name] for name in sorted(tasks.__all__)},
    **{
        f"data-{name}": ["train", "fit", "--data.help", name]
        for name in ("MultiViewFolder", "MultiViewShards", "MultiViewStream", "WorldImages")
    },
}


@pytest.mark.parametrize("name", HELP)
def test_help_is_the_one_checked_in(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`GANVERSE_RENEW_HELP=1 pytest tests/test_cli.py` writes the files anew; read the difference before committing."""
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with contextlib.suppress(SystemExit):
        assert cli.main(HELP[name]) == 0
    shown = capsys.readouterr().out
    file = GOLDEN / f"{name}.txt"
    if os.environ.get(RENEW):
        file.write_text(shown)
    assert shown == file.read_text(), f"the help of {name} has changed; {RENEW}=1 pytest tests/test_cli.py renews it"


def test_no_help_is_left_over() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(HELP)


def test_every_model_and_data_source_is_in_the_help() -> None:
    for name in (*tasks.__all__, "MultiViewStream", "MultiViewShards", "MultiViewFolder", "WorldImages"):
        assert f" {name} " in cli.TRAIN_HELP
        assert name in (*tasks.__all__, *data.__all__)


def test_every_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fly"]) == cli.BAD_INPUT
    complaint = capsys.readouterr().err
    for name in ("train", "evaluate", *cli.COMMANDS):
        assert name in complaint
        assert f"\n  {name} " in cli.HELP


LIGHT = {
    **{" ".join(command): f"assert main({command!r}) == 0" for command in (["--help"], ["--version"])},
    "train --help": "assert main(['train', '--help']) == 0",
    "import ganverse": "import ganverse",
}


@pytest.mark.parametrize("program", LIGHT.values(), ids=LIGHT.keys())
def test_what_is_light_does_not_wait_for_torch(program: str) -> None:
    names = ("torch", "pytorch_lightning", "numpy", "jsonargparse", "wandb")
    program = (
        f"import sys, time; from ganverse.cli import main; {program}; "
        f"print([name for name in {names} if name in sys.modules], time.process_time())"
    )
    heavy, seconds = python(program).splitlines()[-1].rsplit(maxsplit=1)
    assert heavy == "[]"
    assert float(seconds) < 1.5


@pytest.mark.parametrize(("logger", "imported"), [("CSVLogger", False), ("WandbLogger", True)])
def test_wandb_is_imported_for_its_logger_only(
    logger: str, imported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Trainer with each logger, on data that end the command before anything is trained."""
    command = ["fit", "--config", "configs/car/inverse.yaml", "--trainer.logger", logger, "--data.sampling.views", "99"]
    command += ["--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(tmp_path)]
    command += ["--trainer.logger.save_dir", str(tmp_path)]
    monkeypatch.setenv("WANDB_MODE", "offline")
    program = f"import sys; from ganverse.cli import train; print(train({command!r}), 'wandb' in sys.modules)"
    assert f"2 {imported}" in python(program).splitlines()


def python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def test_version_and_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"ganverse {__version__}"
    done = subprocess.run([sys.executable, "-m", "ganverse"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("usage: ganverse COMMAND")


def test_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> int:
        raise GanverseError("expected a, got b; do c")

    def impatient() -> int:
        raise KeyboardInterrupt

    def crowded() -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write says it, without a name

    assert cli.guarded(lambda: 0) == 0
    assert cli.guarded(wrong) == 2
    assert capsys.readouterr().err == "ganverse: expected a, got b; do c\n"
    assert cli.guarded(crowded) == 2
    assert "free some" in capsys.readouterr().err
    assert cli.guarded(impatient) == 130
    assert "run the same command again" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_scripts_only_hand_over(script: str) -> None:
    assert len((ROOT / script).read_text().splitlines()) < 20


def test_wrong_usage_of_reconstruct_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reconstruct"]) == cli.BAD_INPUT
    assert "PHOTO" in capsys.readouterr().err


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.save_gan(tmp_path_factory.mktemp("gan"))


def shipped(root: Path, generator: Path) -> list[str]:
    """`fit` with the shipped file, small."""
    toy = [f"--data.generator={generator}", *toys.shrunk("InverseGraphics", root)]
    return ["fit", "--config", "configs/car/inverse.yaml", *toy]


def test_lightnings_own_flags(tmp_path: Path, generator: Path) -> None:
    """Callbacks by class name, accumulation, a number of steps."""
    flags = ["--trainer.max_steps=3", "--trainer.accumulate_grad_batches=2", "--model.images=100"]
    assert cli.train([*shipped(tmp_path, generator), *flags, "--trainer.callbacks+=LearningRateMonitor"]) == 0
    lines = (tmp_path / "logs" / "version_0" / "metrics.csv").read_text().splitlines()
    assert "lr-AdamW" in lines[0]
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["trainer"]["callbacks"][-1]["class_path"].endswith("LearningRateMonitor")
    assert config["trainer"]["accumulate_grad_batches"] == 2
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


def test_two_processes(tmp_path: Path, generator: Path) -> None:
    flags = ["--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.max_steps=1"]
    command = [sys.executable, "train.py", *shipped(tmp_path, generator), *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "inverse.safetensors").is_file()


def test_configuration_can_be_printed_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ["fit", "--config", "configs/car/inverse.yaml"]
    with pytest.raises(SystemExit) as stop:
        cli.train([*file, "--seed_everything=4", "--print_config"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    (tmp_path / "printed.yaml").write_text(printed)
    with pytest.raises(SystemExit):
        cli.train(["fit", "--config", str(tmp_path / "printed.yaml"), "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(printed)
    assert yaml.safe_load(printed)["seed_everything"] == 4


def readme_script() -> str:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    (script,) = [block for block in blocks if "Trainer(" in block]
    return script


def test_the_readmes_script_runs(tmp_path: Path) -> None:
    """As it stands: training in a Trainer of one's own, loading, a GLB."""
    script = readme_script()
    assert len([line for line in script.splitlines() if line.strip()]) <= 16
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, check=True, capture_output=True, text=True)
    assert (tmp_path / "inverse.ckpt").is_file()
    assert (tmp_path / "object.glb").read_bytes()[:4] == b"glTF"
