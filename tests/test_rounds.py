"""Rounds: StyleGAN-R as a multi-view source, and the networks that go on from it, as a pipeline."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import yaml

from ganverse.cli import train
from ganverse.data.rerendered import RerenderedSampler
from ganverse.data.sampling import MultiViewSampler, SamplingSettings
from ganverse.data.sources import SourceSettings, open_source
from ganverse.errors import GanverseError
from ganverse.inverse.weights import load_inverse
from ganverse.neural_renderer.weights import load_stylegan_r
from tests import pipeline_toys as toys
from tests.pipeline_toys import fit
from tests.tasks.toys import Files

SAMPLING = SamplingSettings(attempts=1, block=4)


@dataclass(frozen=True)
class Rounds:
    """A finished pipeline of two rounds, and the settings of a source that its first StyleGAN-R renders."""

    run: Path
    first: SourceSettings

    def weights(self, name: str) -> Path:
        file = "inverse.safetensors" if name.endswith("inverse") else "stylegan-r.safetensors"
        return self.run / name / file


@pytest.fixture(scope="module")
def rounds(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Rounds:
    """The stages of configs/car/rounds.yaml without its reports, with everything tiny."""
    folder = tmp_path_factory.mktemp("rounds")
    config = yaml.safe_load((Path(__file__).parent.parent / "configs/car/rounds.yaml").read_text())
    stages = {}
    for name, stage in config["stages"].items():
        if "fit" not in stage:
            continue
        model = stage["fit"]["model"]
        small = fit(model["class_path"], files.generator, stage["fit"]["weights"], images=8)
        if model["class_path"] == "Disentanglement":
            small = fit(model["class_path"], files.generator, stage["fit"]["weights"])
        wanted = {key: value for key, value in model["init_args"].items() if str(value).startswith("${run}")}
        small["fit"]["model"]["init_args"].update(wanted)
        source = {k: v for k, v in stage["fit"]["data"]["init_args"].items() if str(v).startswith("${run}")}
        small["fit"]["data"]["init_args"].update(source, segmenter=str(files.segmenter))
        stages[name] = small
    path = folder / "rounds.yaml"
    path.write_text(json.dumps({"run": str(folder / "run"), "stages": stages}))
    assert list(stages) == ["inverse", "disentangle", "round-2/inverse", "round-2/disentangle"]
    assert train(["--config", str(path)]) == 0
    run = folder / "run"
    first = SourceSettings(
        str(files.generator),
        segmenter=files.segmenter,
        renderer=run / "disentangle" / "stylegan-r.safetensors",
        reader=run / "inverse" / "inverse.safetensors",
    )
    return Rounds(run, first)


def test_every_round_goes_on_from_the_one_before(rounds: Rounds) -> None:
    first, second = (load_inverse(rounds.weights(name)) for name in ("inverse", "round-2/inverse"))
    assert (first.card.images_seen, second.card.images_seen) == (8, 8)
    assert torch.equal(first.cameras.all().azimuth, second.cameras.all().azimuth)  # they are known exactly
    renderer, again = (load_stylegan_r(rounds.weights(name))[1] for name in ("disentangle", "round-2/disentangle"))
    assert (renderer.inverse_sha256, again.inverse_sha256) == (first.card.sha256, second.card.sha256)
    checkpoint = torch.load(rounds.run / "round-2/inverse/checkpoints/last.ckpt", weights_only=True)
    frozen = checkpoint["frozen_weights"]
    assert (frozen["start"], frozen["renderer"]) == (first.card.sha256, renderer.sha256)


def test_rerendered_samples_keep_objects_and_views_and_are_pure_functions(rounds: Rounds) -> None:
    sampler = open_source(rounds.first).sampler(SAMPLING)
    assert isinstance(sampler, RerenderedSampler)
    own, batch = MultiViewSampler.draw(sampler, torch.arange(3)).batch, sampler.draw(torch.arange(3)).batch
    assert torch.equal(batch.view_ids, own.view_ids)
    assert batch.images.shape == own.images.shape
    assert not torch.equal(batch.images, own.images)
    alone = sampler.draw(torch.tensor([2])).batch
    assert torch.equal(alone.images[0], batch.images[2])
    assert torch.equal(alone.masks[0], batch.masks[2])
    plain = open_source(replace(rounds.first, renderer=None, reader=None)).sampler(SAMPLING)
    assert sampler.fingerprint != plain.fingerprint


def test_an_image_is_synthesized_from_the_camera_of_its_view(rounds: Rounds) -> None:
    """The first image's scene under the second view's camera is the second image."""
    sampler = open_source(rounds.first).sampler(replace(SAMPLING, block=2))
    assert isinstance(sampler, RerenderedSampler)
    own, batch = MultiViewSampler.draw(sampler, torch.arange(1)).batch, sampler.draw(torch.arange(1)).batch
    first = sampler.rerendering.reader.network(own.images[:, 0])
    turned, _, _ = sampler._synthesize(replace(own, view_ids=own.view_ids[:, [0, 0]]), 2)
    assert torch.allclose(turned[0], turned[1], atol=1 / 254), "one camera, one image"
    assert torch.allclose(turned[0], batch.images[0, 0], atol=1 / 254)
    assert not torch.allclose(batch.images[0, 0], batch.images[0, 1], atol=1 / 254)
    assert len(first.vertices) == 1


def test_files_of_different_rounds_are_refused(rounds: Rounds) -> None:
    with pytest.raises(GanverseError, match="one round"):
        open_source(replace(rounds.first, reader=rounds.weights("round-2/inverse")))


def test_stylegan_r_learns_from_the_gan_s_own_images_only(rounds: Rounds, files: Files, tmp_path: Path) -> None:
    command = toys.command("Disentanglement", tmp_path, files.generator, inverse=rounds.weights("inverse"))
    command += [f"--data.renderer={rounds.first.renderer}", f"--data.reader={rounds.first.reader}"]
    assert train(command) == 2
