from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.data.multi_view import VALIDATION_START, MultiViewStream
from ganverse.data.sampling import MultiViewSampler
from ganverse.errors import GanverseError


class Diary(pl.LightningModule):
    """Learns next to nothing and writes down what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))
        self.seen: list[int] = []
        self.validated: list[int] = []

    def training_step(self, batch: MultiViewBatch, batch_idx: int) -> Tensor:
        self.seen += batch.sample_index.tolist()
        return (self.gain * batch.images * batch.masks).mean()

    def validation_step(self, batch: MultiViewBatch, batch_idx: int) -> None:
        self.validated += batch.sample_index.tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _trainer(folder: Path, steps: int) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )


def test_training_resumes_behind_the_last_sample_seen(sampler: MultiViewSampler, tmp_path: Path) -> None:
    straight, data = Diary(), MultiViewStream(sampler, 3)
    _trainer(tmp_path, 5).fit(straight, data)
    assert straight.seen == list(range(15))
    assert data.samples_seen == 15

    first, trainer = Diary(), _trainer(tmp_path, 2)
    trainer.fit(first, MultiViewStream(sampler, 3))
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    second, resumed = Diary(), MultiViewStream(sampler, 3)
    _trainer(tmp_path, 5).fit(second, resumed, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert first.seen + second.seen == straight.seen
    assert torch.equal(second.gain, straight.gain)


def test_the_generator_is_not_in_the_checkpoint(sampler: MultiViewSampler, tmp_path: Path) -> None:
    trainer, diary = _trainer(tmp_path, 1), Diary()
    trainer.fit(diary, MultiViewStream(sampler, 2))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert list(checkpoint["state_dict"]) == ["gain"]
    assert checkpoint["MultiViewStream"] == {"samples_seen": 2, "fingerprint": sampler.fingerprint}


def test_another_stream_is_refused_at_resume(sampler: MultiViewSampler) -> None:
    with pytest.raises(GanverseError, match="resume"):
        MultiViewStream(sampler).load_state_dict({"samples_seen": 8, "fingerprint": "something else"})


def test_validation_samples_are_fixed_and_never_trained_on(sampler: MultiViewSampler, tmp_path: Path) -> None:
    data, diary = MultiViewStream(sampler, 4, validation_samples=6), Diary()
    trainer = _trainer(tmp_path, 1)
    trainer.limit_val_batches = 1.0
    trainer.validate(diary, data, verbose=False)
    assert diary.validated == list(range(VALIDATION_START, VALIDATION_START + 6))
    assert data.samples_seen == 0


def test_counts_are_there_for_the_log(sampler: MultiViewSampler) -> None:
    data = MultiViewStream(sampler)
    batches = [data.make(indices) for indices in torch.arange(24).split(8)]
    assert data.counts.images >= 48
    assert 0 < data.counts.dropped_share < 1
    assert len(batches[0]) == 8
