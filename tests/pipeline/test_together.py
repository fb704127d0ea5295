"""evaluate.py on two processes gives the numbers of one, to the last bit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import multiprocessing

from ganverse.cli import train
from ganverse.distributed import rank_and_processes
from ganverse.evaluation import evaluate
from ganverse.evaluation.catalog import CATALOG
from ganverse.evaluation.command import evaluate_command
from ganverse.evaluation.evaluate import Evaluation, finite, write_json
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.pipeline.together import together
from tests import pipeline_toys as toys
from tests.evaluation.tiny_models import TINY_SETTINGS, tiny_models
from tests.ports import reserved_port

UNEVEN = replace(TINY_SETTINGS, held_out_objects=5, world_objects=3, batch=2)
"""Three batches of held-out objects and two of cars, each with a last one of a single object."""


def one_of_two(rank: int, port: int, work: Callable[..., object], *arguments: object) -> None:
    """Does the work as one of the two processes that torchrun would start."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "none"}
    work(*arguments)


def by_two(work: Callable[..., object], *arguments: object) -> None:
    with reserved_port() as port:
        multiprocessing.start_processes(one_of_two, (port, work, *arguments), nprocs=2, start_method="fork")


def test_two_processes_print_the_numbers_of_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    generator = toys.save_gan(tmp_path)
    run = tmp_path / "run"
    assert train(["inverse", *toys.stage_flags("inverse", run, generator)]) == 0
    asked = ["--run", str(run), *toys.flags(toys.EVALUATE), "--held_out_objects=6"]
    capfd.readouterr()
    alone = evaluate_command([*asked, "--output", str(tmp_path / "one")], "evaluate.py")
    printed = numbers(capfd.readouterr().out)
    by_two(evaluate_command, [*asked, "--output", str(tmp_path / "two")], "evaluate.py")
    assert numbers(capfd.readouterr().out) == printed
    assert json.loads((tmp_path / "two" / "metrics.json").read_text()) == alone
    assert len(printed) > 20


def numbers(text: str) -> list[str]:
    """Names and values of the printed table; only one process may print one."""
    return [" ".join(line.split("│")[1:4]) for line in text.splitlines() if line.count("│") > 4]


def test_every_protocol_has_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the GAN, of the world with its 3D truth, of the oracle, of StyleGAN-R and of its edits."""
    monkeypatch.setattr(evaluate, "PerceptualDistance", lambda: PerceptualDistance(stages=1))
    measure_tiny(tmp_path / "one.json")
    by_two(measure_tiny, tmp_path / "two.json")
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert {key: (score, one[key]) for key, score in two.items() if score != one[key]} == {}
    assert {CATALOG[key].part for key in two} == {"gan", "world", "oracle", "stylegan_r", "edits"}
    assert one.keys() == two.keys()


def measure_tiny(output: Path) -> None:
    with together():
        evaluation = Evaluation(tiny_models(), UNEVEN, Console(quiet=True), draws=False)
        evaluation.run()
        if rank_and_processes()[0] == 0:
            write_json({key: asdict(score) for key, score in finite(evaluation.report.scores).items()}, output)
