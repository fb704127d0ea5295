"""Rounds: StyleGAN-R as a multi-view source, and the networks that go on from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganverse.cli import train
from ganverse.data.rerendered import SteeredSampler
from ganverse.data.sources import DataSettings, make_sampler, open_source
from ganverse.errors import GanverseError
from ganverse.inverse.weights import load_inverse
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.pipeline.inverse import InverseRun
from ganverse.pipeline.stages import PipelineRun, pipeline_steps
from tests import pipeline_toys as toys


@pytest.fixture(scope="module")
def two_rounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two rounds with everything tiny."""
    folder = tmp_path_factory.mktemp("rounds")
    flags = toys.pipeline_flags(folder / "run", toys.save_gan(folder))
    flags += ["--inverse.minutes=null", "--disentangle.minutes=null", "--rounds=2", "--round_share=0.5"]
    assert train(flags) == 0
    return folder


def steered(two_rounds: Path) -> DataSettings:
    """Data that the first round's StyleGAN-R paints."""
    run = two_rounds / "run"
    return DataSettings(
        generator=str(two_rounds / "toy.safetensors"),
        renderer=run / "disentangle" / "stylegan-r.safetensors",
        reader=run / "inverse" / "inverse.safetensors",
    )


def test_every_round_has_its_directory_and_its_report(two_rounds: Path) -> None:
    run = two_rounds / "run"
    for folder, images in ((run, (8, 12)), (run / "round-2", (4, 8))):  # whole steps of 4 pictures
        assert load_inverse(folder / "inverse" / "inverse.safetensors").card.images_seen == images[0]
        assert load_stylegan_r(folder / "disentangle" / "stylegan-r.safetensors")[1].images_seen == images[1]
        metrics = json.loads((folder / "report" / "metrics.json").read_text())
        assert {key.split("/")[0] for key in metrics} >= {"gan", "world", "stylegan_r"}
    first, second = (f / "inverse" / "inverse.safetensors" for f in (run, run / "round-2"))
    cameras, again = (load_inverse(path).cameras.all() for path in (first, second))
    assert torch.equal(cameras.azimuth, again.azimuth)  # they are known exactly
    assert load_stylegan_r(run / "round-2" / "disentangle" / "stylegan-r.safetensors")[1].inverse_sha256 == (
        load_inverse(second).card.sha256
    )
    noted = json.loads((run / "round-2" / "inverse" / "teachers.json").read_text())
    assert noted["start"] == load_inverse(first).card.sha256
    assert noted["renderer"] == load_stylegan_r(run / "disentangle" / "stylegan-r.safetensors")[1].sha256


def test_a_third_round_is_added_to_a_finished_run(two_rounds: Path) -> None:
    run = two_rounds / "run"
    config = PipelineRun(run=run, rounds=3)
    steps = pipeline_steps(config)
    assert [step.title for step in steps[4:]] == [
        f"{stage}, round {number}" for number in (2, 3) for stage in ("inverse", "disentangle", "report")
    ]
    assert [step.folder.finished for step in steps] == [True] * 7 + [False] * 3
    third = steps[7].config
    assert isinstance(third, InverseRun)
    assert third.start == str(run / "round-2" / "inverse" / "inverse.safetensors")
    assert third.data.renderer == run / "round-2" / "disentangle" / "stylegan-r.safetensors"
    assert third.schedule.images == round(0.5 * config.inverse.schedule.images)


def test_steered_samples_keep_objects_and_views_and_are_pure_functions(two_rounds: Path) -> None:
    settings = steered(two_rounds)
    settings = replace(settings, sampling=replace(settings.sampling, attempts=1, block=4))
    source = open_source(settings)
    sampler = make_sampler(source, settings)
    assert isinstance(sampler, SteeredSampler)
    own = sampler.original.draw(torch.arange(3)).batch
    batch = sampler.draw(torch.arange(3)).batch
    assert torch.equal(batch.view_ids, own.view_ids)
    assert batch.images.shape == own.images.shape
    assert not torch.equal(batch.images, own.images)
    alone = sampler.draw(torch.tensor([2])).batch
    assert torch.equal(alone.images[0], batch.images[2])
    assert torch.equal(alone.masks[0], batch.masks[2])
    assert sampler.fingerprint != sampler.original.fingerprint


def test_a_picture_is_painted_from_the_camera_of_its_view(two_rounds: Path) -> None:
    """The first picture's scene under the second view's camera is the second picture."""
    settings = steered(two_rounds)
    settings = replace(settings, sampling=replace(settings.sampling, attempts=1, block=2))
    sampler = make_sampler(open_source(settings), settings)
    assert isinstance(sampler, SteeredSampler)
    batch = sampler.draw(torch.arange(1)).batch
    own = sampler.original.draw(torch.arange(1)).batch
    turned = replace(own, view_ids=own.view_ids.flip(1))
    images, _, _ = sampler._paint(turned, 2)
    assert torch.allclose(images[0], batch.images[0, 1], atol=1 / 254)


def test_files_of_different_rounds_are_refused(two_rounds: Path) -> None:
    mixed = replace(steered(two_rounds), reader=two_rounds / "run" / "round-2" / "inverse" / "inverse.safetensors")
    with pytest.raises(GanverseError, match="one round"):
        open_source(mixed)
    with pytest.raises(GanverseError, match="together"):
        DataSettings(renderer=Path("a.safetensors"))
    with pytest.raises(GanverseError, match="car world"):
        open_source(replace(steered(two_rounds), generator="car-world"))


@pytest.mark.parametrize(("rounds", "share"), [(0, 0.5), (2, 0.0)])
def test_impossible_rounds_are_refused(rounds: int, share: float) -> None:
    with pytest.raises(GanverseError, match="rounds"):
        PipelineRun(rounds=rounds, round_share=share)
