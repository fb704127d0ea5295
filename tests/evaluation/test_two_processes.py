"""An evaluation on two processes gives the numbers of one, to the last bit."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import multiprocessing

from ganverse.distributed import rank_and_processes, torchrun_group
from ganverse.evaluation import evaluate
from ganverse.evaluation.catalog import CATALOG
from ganverse.inverse.perceptual import PerceptualDistance
from tests.evaluation.tiny_models import TINY_SETTINGS, tiny_models
from tests.ports import reserved_port

UNEVEN = replace(TINY_SETTINGS, held_out_objects=5, world_objects=3, batch=2, figure_objects=0)
"""Three batches of held-out objects and two of cars, each with a last one of a single object."""


def one_of_two(rank: int, port: int, output: Path) -> None:
    """Evaluates as one of the two processes that torchrun would start."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with torchrun_group():
        assert rank_and_processes() == (rank, 2)
        evaluate.evaluate_loaded(tiny_models(), output, UNEVEN)
    assert rank_and_processes() == (0, 1)


def test_every_protocol_has_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Those of the GAN, of the world with its 3D truth, of the oracle, of StyleGAN-R and of its edits."""
    monkeypatch.setattr(evaluate, "PerceptualDistance", lambda: PerceptualDistance(stages=1))
    with torchrun_group():  # alone this does nothing
        evaluate.evaluate_loaded(tiny_models(), tmp_path / "one", UNEVEN, console=Console(quiet=True))
    with reserved_port() as port:
        multiprocessing.start_processes(one_of_two, (port, tmp_path / "two"), nprocs=2, start_method="fork")
    one, two = (json.loads((tmp_path / name / "scores.json").read_text())["scores"] for name in ("one", "two"))
    assert {key: (score, one[key]) for key, score in two.items() if score != one[key]} == {}
    assert {CATALOG[key].part for key in two} == {"gan", "world", "oracle", "stylegan_r", "edits"}
    assert one.keys() == two.keys()
    assert capfd.readouterr().out.count("report:") == 1, "the first process speaks, the other keeps quiet"
