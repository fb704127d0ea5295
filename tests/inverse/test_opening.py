"""A checkpoint in the middle of training gives the same network as the weights that training writes at its end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganverse.cli import train
from ganverse.errors import GanverseError
from ganverse.inverse.opening import load_checkpoint, open_inverse
from tests import pipeline_toys as toys


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    generator = toys.save_gan(folder)
    assert train(["inverse", *toys.stage_flags("inverse", folder / "run", generator), "--half_life=0"]) == 0
    return folder / "run"


def test_checkpoint_and_weights_agree(run: Path) -> None:
    final, last = open_inverse(run), open_inverse(run / "inverse" / "checkpoints" / "last.ckpt")
    picture = torch.rand(1, 3, toys.SIZE, toys.SIZE)
    assert torch.equal(final.network(picture).vertices, last.network(picture).vertices)
    assert torch.equal(final.cameras.all().position, last.cameras.all().position)
    assert last.card.images_seen == final.card.images_seen
    assert not any(parameter.requires_grad for parameter in last.network.parameters())


def test_damaged_checkpoints(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "inverse" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes((run / "inverse" / "checkpoints" / "last.ckpt").read_bytes()[:1000])
    with pytest.raises(GanverseError, match=r"config.yaml"):
        load_checkpoint(path)
    (tmp_path / "inverse" / "config.yaml").write_text((run / "inverse" / "config.yaml").read_text())
    with pytest.raises(GanverseError, match="expected a checkpoint of the inverse stage"):
        load_checkpoint(path)
