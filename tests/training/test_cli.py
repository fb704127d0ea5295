"""Lightning's command line with this project's defaults: what a run leaves, who wins, one sentence for mistakes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from functools import wraps
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import RichProgressBar

from ganverse.cli import BAD_INPUT, train
from ganverse.inverse.weights import load_inverse
from ganverse.training import cli
from ganverse.training.checkpoint import TimedCheckpoint
from ganverse.training.cli import best_precision
from tests import pipeline_toys as toys
from tests.tasks.toys import Files, differences, trainer
from tests.training.lines import Line, Numbers


def command(files: Files, root: Path, **settings: object) -> list[str]:
    return [*toys.command("InverseGraphics", root, files.generator, **settings), f"--data.segmenter={files.segmenter}"]


def stored(root: Path) -> dict:
    return torch.load(root / "checkpoints" / "last.ckpt", weights_only=True)


def test_what_a_run_leaves_and_how_it_is_repeated(files: Files, tmp_path: Path) -> None:
    """config.yaml alone trains the same weights again."""
    root, again = tmp_path / "run", tmp_path / "again"
    assert train([*command(files, root), "--weights=inverse.safetensors"]) == 0
    left = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    expected = {
        "config.yaml",
        "inverse.safetensors",
        "inverse.json",
        "checkpoints/last.ckpt",
        "logs/version_0/metrics.csv",
    }
    assert expected <= left
    assert any(name.startswith("samples/inverse-") for name in left)
    config = yaml.safe_load((root / "config.yaml").read_text())
    assert config["model"]["init_args"]["images"] == 8
    assert train(["fit", "--config", str(root / "config.yaml"), f"--trainer.default_root_dir={again}"]) == 0
    weights = [load_inverse(folder / "inverse.safetensors").network.state_dict() for folder in (root, again)]
    assert differences(*weights) == {}


def test_a_run_is_resumed_and_prolonged(files: Files, tmp_path: Path) -> None:
    root, whole = tmp_path / "run", tmp_path / "whole"
    assert train([*command(files, root, images=16), "--trainer.max_steps=2"]) == 0
    assert stored(root)["images_seen"] == 8
    assert train([*command(files, root, images=16), "--ckpt_path=last"]) == 0
    assert stored(root)["images_seen"] == 16
    assert train(command(files, whole, images=16)) == 0
    assert differences(stored(root)["state_dict"], stored(whole)["state_dict"]) == {}
    last = root / "checkpoints" / "last.ckpt"
    assert train([*command(files, root, images=24), f"--ckpt_path={last}"]) == 0
    assert stored(root)["images_seen"] == 24, "the command line wins over the checkpoint"


def test_fast_dev_run_writes_nothing(files: Files, tmp_path: Path) -> None:
    assert train([*command(files, tmp_path / "run"), "--trainer.fast_dev_run=true"]) == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_validate_and_test_score_a_checkpoint(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = command(files, tmp_path)
    assert train(flags) == 0
    for subcommand in ("validate", "test"):
        capsys.readouterr()
        assert train([subcommand, *flags[1:], "--ckpt_path=last"]) == 0
        assert "val/iou/own_view" in capsys.readouterr().out


def test_the_progress_bar_is_a_choice(monkeypatch: pytest.MonkeyPatch, files: Files, tmp_path: Path) -> None:
    bars: list[list[str]] = []

    @wraps(pl.Trainer.fit)
    def note(self: pl.Trainer, *_: object, **__: object) -> None:
        bars.append([type(one).__name__ for one in self.callbacks if isinstance(one, cli.ProgressBar)])
        raise KeyboardInterrupt

    monkeypatch.setattr(pl.Trainer, "fit", note)
    flags = [flag for flag in command(files, tmp_path) if "enable_progress_bar" not in flag]
    for more in ([], ["--trainer.callbacks+=RichProgressBar"], ["--trainer.enable_progress_bar=false"]):
        assert train([*flags, *more]) == 130
    assert bars == [["ImagesProgressBar"], [RichProgressBar.__name__], []]


@pytest.mark.parametrize("two_optimizers", [False, True])
def test_checkpoints_come_by_the_clock(two_optimizers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also under manual optimization, where Lightning looks at steps alone."""
    saved: list[int] = []
    original = pl.Trainer.save_checkpoint

    def save(self: pl.Trainer, path: Path, *rest: object, **how: object) -> None:
        saved.append(self.lightning_module.images_seen)
        original(self, path, *rest, **how)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", save)
    settings = {"monitor": "step", "mode": "max", "save_top_k": 1, "save_last": True}
    steps = 3 * (1 + two_optimizers)
    for hours, looks, expected in ((0, 1, [4, 4, 8, 8, 12, 12]), (0, 2, [8, 8]), (1, 1, [12])):
        saved.clear()
        keep = TimedCheckpoint(tmp_path / f"{hours}-{looks}", train_time_interval=timedelta(hours=hours), **settings)
        made = trainer(
            tmp_path,
            max_steps=steps,
            limit_val_batches=0,
            enable_checkpointing=True,
            callbacks=[keep],
            log_every_n_steps=looks,
        )
        made.fit(Line(two_optimizers=two_optimizers), Numbers())
        assert saved == expected
    assert sorted(path.name for path in (tmp_path / "0-1").iterdir())[-1] == "last.ckpt"


def test_ddp_knows_of_idle_parameters(monkeypatch: pytest.MonkeyPatch, files: Files, tmp_path: Path) -> None:
    strategies: list[bool] = []

    @wraps(pl.Trainer.fit)
    def note(self: pl.Trainer, *_: object, **__: object) -> None:
        strategies.append(bool(getattr(self.strategy, "_ddp_kwargs", {}).get("find_unused_parameters")))
        raise KeyboardInterrupt

    monkeypatch.setattr(pl.Trainer, "fit", note)
    for model, own in (("Disentanglement", {"inverse": files.inverse}), ("InverseGraphics", {})):
        flags = toys.command(model, tmp_path, files.generator, **own)
        for more in ([], ["--trainer.devices=2", "--trainer.strategy=ddp"], ["--trainer.devices=2"]):
            assert train([*flags, *more]) == 130
    assert strategies == [False, True, True, False, False, False]


def test_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for supported, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, found=supported: found)
        assert best_precision("auto") == best_precision("gpu") == expected
    for flags, expected in (("avx512f amx_bf16", "bf16-mixed"), ("avx512f", "32-true")):
        monkeypatch.setattr(Path, "read_text", lambda *_, found=flags, **__: found)
        assert best_precision("cpu") == expected


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--trainer.enable_progress_bar=false", "--trainer.callbacks+=RichProgressBar"], "RichProgressBar"),
        (["--trainer.max_steps=-3"], "max_steps"),
        (["--ckpt_path=absent.ckpt"], "absent.ckpt"),
    ],
)
def test_lightning_s_own_complaints_are_one_sentence(
    flags: list[str], complaint: str, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train([*command(files, tmp_path), *flags]) == BAD_INPUT
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ganverse: ")]
    assert re.search(complaint, line)


def test_checkpoints_that_cannot_be_resumed_are_one_sentence(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(command(files, tmp_path)) == 0
    last = tmp_path / "checkpoints" / "last.ckpt"
    for bad, more in ((last, ["--model.network.latent=24"]), (tmp_path / "cut.ckpt", []), (tmp_path, [])):
        (tmp_path / "cut.ckpt").write_bytes(last.read_bytes()[:1000])
        assert train([*command(files, tmp_path, images=16), f"--ckpt_path={bad}", *more]) == BAD_INPUT
        complaint = capsys.readouterr().err.splitlines()
        assert re.match("ganverse: expected a (training )?checkpoint", complaint[-1])


@pytest.mark.parametrize(
    ("variable", "value"),
    [("WANDB_API_KEY", ""), ("WANDB_API_KEY", "short"), ("WANDB_MODE", "off"), ("WANDB_MODE", "")],
)
def test_wandb_that_cannot_start_is_one_sentence_and_leaves_nothing(
    variable: str, value: str, files: Files, tmp_path: Path
) -> None:
    """What wandb does not take for a mode never ends online. (In a process of its own: wandb reads variables once.)"""
    code = "import sys; from ganverse.cli import train; sys.exit(train(sys.argv[1:]))"
    flags = [*command(files, tmp_path / "run"), "--trainer.logger=WandbLogger"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    env |= {"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2]), variable: value}
    done = subprocess.run(
        [sys.executable, "-c", code, *flags],
        env=env,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == BAD_INPUT
    assert re.search(
        r"^ganverse: expected Weights & Biases to start, got: .{10,300}; run `wandb login`", done.stderr, re.M
    )
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "run").rglob("*")) == []
