import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.strategies import DDPStrategy, Strategy

from ganverse.data.sampling import MultiViewSampler, SamplingSettings
from ganverse.data.shards import ShardReader, read_plan
from ganverse.errors import GanverseError
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.masks.filtering import MaskFilter
from ganverse.masks.segmenter import Segmenter
from ganverse.tasks.generation import GenerationTask
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims


@pytest.fixture
def sampler() -> MultiViewSampler:
    """A random GAN and a random segmenter, filtered so that some samples need several attempts."""
    config = StyleGAN2Config(resolution=16, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8), view_layers=2)
    generator = StyleGAN2Generator(config)
    masker = Segmenter(working_size=16).eval()
    codes = ViewCodes("tiny", layer_dims(generator.style_sizes, 2), tuple(ViewCode(i, 30.0 * i) for i in range(12)))
    return MultiViewSampler(generator, codes, masker, SamplingSettings(block=4, filter=MaskFilter(min_area=0.45)))


def _generate(task: GenerationTask, *, processes: int = 1) -> None:
    strategy: str | Strategy = "auto"
    if processes > 1:
        strategy = DDPStrategy(process_group_backend="gloo", start_method="fork")
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy=strategy,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.predict(task, return_predictions=False)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_processes_write_what_one_writes(sampler: MultiViewSampler, tmp_path: Path) -> None:
    _generate(GenerationTask(sampler, tmp_path / "one", samples=14, per_shard=4))
    _generate(GenerationTask(sampler, tmp_path / "two", samples=14, per_shard=4), processes=2)
    one, two = _files(tmp_path / "one"), _files(tmp_path / "two")
    assert {"manifest.json", "kept.png", "dropped.png", "shard-000003.tar"} <= set(one)
    assert sorted(one) == sorted(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_generation_counts_and_shows_what_it_dropped(sampler: MultiViewSampler, tmp_path: Path) -> None:
    _generate(GenerationTask(sampler, tmp_path, samples=10, per_shard=5))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    counts = manifest["images"]
    assert counts["kept"] >= 2 * (10 - manifest["forced_samples"])
    assert counts["no_object"] + counts["several_objects"] + counts["too_small"] > 0
    with Image.open(tmp_path / "dropped.png") as dropped, Image.open(tmp_path / "kept.png") as kept:
        assert dropped.size == (16 * 16, 2 * 2 * 16)
        assert kept.size == (16 * 16, 2 * 2 * 16)


def test_an_interrupted_run_continues_and_ends_the_same(
    sampler: MultiViewSampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _generate(GenerationTask(sampler, tmp_path / "straight", samples=12, per_shard=4))
    task = GenerationTask(sampler, tmp_path / "broken", samples=12, per_shard=4)
    draw, made = sampler.draw, []

    def tired_draw(indices: torch.Tensor, *, keep_dropped: int = 0) -> object:
        if len(made) == 2:
            raise RuntimeError("the power went out")
        made.append(indices.tolist())
        return draw(indices, keep_dropped=keep_dropped)

    monkeypatch.setattr(sampler, "draw", tired_draw)
    with pytest.raises(RuntimeError, match="power"):
        _generate(task)
    assert not (tmp_path / "broken" / "manifest.json").exists()
    made.clear()
    _generate(task)
    assert made == [[8, 9, 10, 11]]
    assert _files(tmp_path / "broken") == _files(tmp_path / "straight")
    _generate(task)
    assert len(made) == 1


def test_shards_of_a_finished_run_read_as_the_stream(sampler: MultiViewSampler, tmp_path: Path) -> None:
    _generate(GenerationTask(sampler, tmp_path, samples=6, per_shard=4))
    stored, made = ShardReader(read_plan(tmp_path)).batch(range(6)), sampler.draw(torch.arange(6)).batch
    assert torch.equal(stored.images, made.images)
    assert torch.equal(stored.masks, made.masks)


def test_a_folder_with_other_samples_is_refused(sampler: MultiViewSampler, tmp_path: Path) -> None:
    _generate(GenerationTask(sampler, tmp_path, samples=4, per_shard=4))
    other = MultiViewSampler(sampler.generator, sampler.codes, sampler.masker, SamplingSettings(seed=9))
    with pytest.raises(GanverseError, match="another folder"):
        _generate(GenerationTask(other, tmp_path, samples=4, per_shard=4))
