"""Generators and their cards: exact round trips, and cards that describe something else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ganverse import generators
from ganverse.errors import GanverseError
from ganverse.generators import GeneratorCard, StyleGAN2Config, StyleGAN2Generator, load_generator, save_generator
from ganverse.generators.weights import read_generator_card
from ganverse.pretrained import SHIPPED

CONFIG = StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, mapping_layers=1, channels=(4, 4), view_layers=1)
OTHER = StyleGAN2Config()
CARD = GeneratorCard(OTHER, license="Apache-2.0", trained_on="toys", seed=3, images_seen=64, notes="none")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights" / "toy.safetensors"


@pytest.fixture
def generator() -> StyleGAN2Generator:
    made = StyleGAN2Generator(CONFIG)
    made.w_average.normal_()
    return made


def test_round_trip_is_exact(path: Path, generator: StyleGAN2Generator) -> None:
    written = save_generator(generator, path, CARD)
    loaded, card = load_generator(path)
    assert card == written == read_generator_card(path)
    assert (card.config, card.trained_on, card.seed, card.images_seen) == (CONFIG, "toys", 3, 64)
    assert loaded.state_dict().keys() == generator.state_dict().keys()
    for name, tensor in generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    styles = generator.styles(generator.map(torch.randn(2, 4)))
    assert torch.equal(loaded.synthesize(styles), generator.synthesize(styles))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert sorted(file.name for file in path.parent.iterdir()) == ["toy.json", "toy.md", "toy.safetensors"]


def test_half_precision_on_disk_is_float32_in_memory(path: Path, generator: StyleGAN2Generator) -> None:
    save_generator(generator, path, CARD, half=True)
    loaded, _ = load_generator(path)
    for name, tensor in generator.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], tensor.half().float()), name


def test_names_and_places(path: Path, generator: StyleGAN2Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    save_generator(generator, path, CARD)
    stage = path.parents[1] / "run" / "gan" / "generator.safetensors"
    card = save_generator(generator, stage, CARD)
    for source in (str(path), stage.parent, stage.parents[1]):
        assert load_generator(source)[1].sha256 == card.sha256
    hub = SimpleNamespace(hf_hub_download=lambda repository, file: str(stage.parent / file))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert load_generator("hf://ann/cars")[1] == card
    assert load_generator("car")[1] == read_generator_card(SHIPPED / "gan-car.safetensors")
    with pytest.raises(GanverseError, match="finish its training"):
        load_generator("last.ckpt")


def test_what_the_package_exports() -> None:
    assert {"load_generator", "ImageGenerator", "StyleGAN2Generator", "Framing"} <= set(dir(generators))
    for name in generators.__all__:
        assert getattr(generators, name).__doc__, name
    with pytest.raises(AttributeError, match="nothing"):
        _ = generators.nothing


def test_other_weights_than_the_cards_are_refused(path: Path, generator: StyleGAN2Generator) -> None:
    save_generator(generator, path, CARD)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(GanverseError, match="sha256"):
        load_generator(path)


def test_missing_files(path: Path, generator: StyleGAN2Generator) -> None:
    with pytest.raises(GanverseError, match="expected a card"):
        load_generator(path)
    save_generator(generator, path, CARD)
    path.unlink()
    with pytest.raises(GanverseError, match="expected weights"):
        load_generator(path)


def nested(depth: int) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = [made]
    return made


def config(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda card: {**card, "config": {**card["config"], **changes}}


CARDS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another architecture": (lambda card: {**card, "architecture": "stylegan9"}, "architecture 'stylegan2'"),
    "an architecture of no hash": (lambda card: {**card, "architecture": ["stylegan2"]}, "architecture 'stylegan2'"),
    "no architecture": (lambda card: {k: v for k, v in card.items() if k != "architecture"}, "got 'none'"),
    "a field nobody knows": (lambda card: {**card, "x" * 10**5: 1}, "an unknown one, 'xxx"),
    "a missing field": (lambda card: {k: v for k, v in card.items() if k != "license"}, "license"),
    "a setting nobody knows": (config(depth=3), "an unknown one, 'depth'"),
    "the config of another generator": (config(channels=[4, 8]), "in loading state_dict"),
    "a missing config": (lambda card: {**card, "config": None}, "a mapping with the fields"),
    "no mapping": (lambda card: [card], "expected a mapping"),
    "a billion mapping layers": (config(mapping_layers=10**9), "1 to 64 mapping layers"),
    "no channels": (config(channels=[]), "one channel count"),
    "sixty channels": (config(channels=[4] * 60, resolution=2**61), "expected a resolution"),
    "a billion channels": (config(channels=[10**9, 10**9]), "from 1 to"),
    "a width of 400 digits": (config(w_dim=10**400), "a number of 401 digits"),
    "a negative width": (config(z_dim=-4), "from 1 to"),
    "a width that is a word": (config(z_dim="4"), "z_dim .*valid integer"),
    "a width that is true": (config(z_dim=True), "z_dim .*valid integer"),
    "channels that are words": (config(channels=["4", "4"]), "channels.0 .*valid integer"),
    "channels that are a number": (config(channels=4), "channels .*valid (tuple|array)"),
    "noise that is a number": (config(noise=1), "noise .*valid boolean"),
    "view layers beyond the last": (config(view_layers=5), "view layers"),
    "a width that is nested lists": (config(w_dim=nested(900)), "w_dim .*recursion limit"),
    "nested lists": (lambda card: {**card, "config": nested(500)}, "a mapping with the fields"),
    "a sha256 that is none": (lambda card: {**card, "sha256": 12}, "sha256 .*valid string"),
}


@pytest.mark.parametrize("kind", CARDS)
def test_cards_that_do_not_belong(kind: str, path: Path, generator: StyleGAN2Generator) -> None:
    change, message = CARDS[kind]
    save_generator(generator, path, CARD)
    card = path.with_suffix(".json")
    card.write_text(json.dumps(change(json.loads(card.read_text()))))
    with pytest.raises(GanverseError, match=message) as caught:
        load_generator(path)
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"config": ', "expected JSON"),
        ("[" * 10**5, "expected JSON"),
        ('{"seed": ' + "9" * 5000 + "}", "expected JSON"),
        ("é".encode("latin1"), "expected JSON"),
        (b" " * (2**20 + 1), "more than 1 MiB"),
    ],
    ids=["cut", "deep", "digits", "not UTF-8", "large"],
)
def test_cards_that_are_no_json(text: str | bytes, message: str, path: Path, generator: StyleGAN2Generator) -> None:
    save_generator(generator, path, CARD)
    path.with_suffix(".json").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(GanverseError, match=message):
        load_generator(path)
