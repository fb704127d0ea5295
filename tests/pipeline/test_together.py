"""evaluate.py on two processes gives the numbers of one."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from ganverse.cli import train
from ganverse.pipeline.commands import evaluate_command
from tests import pipeline_toys as toys


def evaluate_as(rank: int, port: int, arguments: list[str]) -> None:
    """One of the two processes that torchrun would start."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "none"}
    evaluate_command(arguments, "evaluate.py")


def test_two_processes_print_the_numbers_of_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    generator = toys.save_gan(tmp_path)
    run = tmp_path / "run"
    assert train(["inverse", *toys.stage_flags("inverse", run, generator)]) == 0
    asked = ["--run", str(run), *toys.flags(toys.EVALUATION), "--evaluation.held_out_objects=6"]
    capfd.readouterr()
    alone = evaluate_command([*asked, "--output", str(tmp_path / "one")], "evaluate.py")
    printed = numbers(capfd.readouterr().out)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [*asked, "--output", str(tmp_path / "two")]
    multiprocessing.start_processes(evaluate_as, (port, arguments), nprocs=2, start_method="fork")
    assert numbers(capfd.readouterr().out) == printed
    together = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert together == pytest.approx(alone, rel=1e-5)
    assert len(printed) > 20


def numbers(text: str) -> list[str]:
    """Names and values of the printed table; only one process may print one."""
    return [" ".join(line.split("│")[1:4]) for line in text.splitlines() if line.count("│") > 4]
