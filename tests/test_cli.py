"""The command line: help as checked in, exit statuses, light imports, doctor."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganverse import __version__, cli
from ganverse.errors import GanverseError
from ganverse.pipeline.commands import SHARED, STAGES, EvaluateCall, stage_settings
from ganverse.pipeline.run_directory import leaves, plain

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "help"
RENEW = "GANVERSE_RENEW_HELP"


@pytest.mark.parametrize("command", ["ganverse", "train", "train generate"])
def test_help_is_the_one_checked_in(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`GANVERSE_RENEW_HELP=1 pytest tests/test_cli.py` writes the files anew; read the difference before committing."""
    shown = help_text(command, capsys, monkeypatch)
    file = GOLDEN / f"{command.replace(' ', '-')}.txt"
    if os.environ.get(RENEW):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(shown)
    assert shown == file.read_text(), f"the help of {command} has changed; {RENEW}=1 pytest tests/test_cli.py renews it"


@pytest.mark.parametrize("command", ["evaluate", *(f"train {stage}" for stage in STAGES)])
def test_help_names_every_setting(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = help_text(command, capsys, monkeypatch)
    settings = plain(EvaluateCall() if command == "evaluate" else stage_settings(command.split()[1], []))
    skipped = ("generate", "inverse", "disentangle", "report") if command == "train all" else ()
    for key, _ in leaves(settings):
        stage, _, rest = key.partition(".")
        if stage not in skipped or rest.split(".")[0] not in SHARED:
            assert f"\n  --{key} " in shown, key


def help_text(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "110")
    name, *rest = command.split()
    call = {"ganverse": cli.main, "evaluate": cli.evaluate, "train": cli.train}[name]
    with contextlib.suppress(SystemExit):
        assert call([*rest, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", [["--help"], ["--version"], ["train", "--help"]])
def test_light_commands_do_not_wait_for_torch(command: list[str]) -> None:
    program = (
        f"import sys, time; from ganverse.cli import main; status = main({command!r}); "
        "heavy = [name for name in ('torch', 'pytorch_lightning', 'numpy', 'jsonargparse') if name in sys.modules]; "
        "print(heavy, status, time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    heavy, status, seconds = done.stdout.splitlines()[-1].rsplit(maxsplit=2)
    assert (heavy, status) == ("[]", "0")
    assert float(seconds) < 1.5


def test_version_and_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"ganverse {__version__}"
    done = subprocess.run([sys.executable, "-m", "ganverse"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("usage: ganverse COMMAND")


def test_every_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fly"]) == cli.BAD_INPUT
    complaint = capsys.readouterr().err
    for name in ("train", "evaluate", "reconstruct", "doctor"):
        assert name in complaint
        assert f"\n  {name} " in cli.HELP
    for stage in STAGES:
        assert stage in cli.TRAIN_HELP


def test_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> int:
        raise GanverseError("expected a, got b; do c")

    def impatient() -> int:
        raise KeyboardInterrupt

    assert cli.guarded(lambda: 0) == 0
    assert cli.guarded(wrong) == 2
    assert capsys.readouterr().err == "ganverse: expected a, got b; do c\n"

    def crowded() -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write says it, without a name

    assert cli.guarded(crowded) == 2
    assert "make room" in capsys.readouterr().err
    assert cli.guarded(impatient) == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_scripts_only_hand_over(script: str) -> None:
    assert len((ROOT / script).read_text().splitlines()) < 50


def test_wrong_usage_of_reconstruct_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["reconstruct"])
    assert stop.value.code == cli.BAD_INPUT
    assert "PHOTO" in capsys.readouterr().err


def test_configuration_can_be_printed_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.train(["inverse", "--seed=4", "--print_config"])
    assert stop.value.code == 0
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    assert stage_settings("inverse", ["--config", str(tmp_path / "printed.yaml")]).seed == 4


def test_standing_options_come_last(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GANVERSE_IMPORT_GAN_OPTIONS", "--truncation 'no number'")
    with pytest.raises(SystemExit) as stop:
        cli.main(["import-gan", "x.pkl", "-o", "y", "--truncation", "1"])
    assert stop.value.code == cli.BAD_INPUT
    assert "'no number'" in capsys.readouterr().err


def test_shorthands_of_generation() -> None:
    config = stage_settings("generate", ["--num-objects", "12", "--views-per-object=5"])
    assert (config.samples, config.data.sampling.views) == (12, 5)
    whole = stage_settings("all", ["--num-objects=12"])
    assert whole.generate.samples == 12
