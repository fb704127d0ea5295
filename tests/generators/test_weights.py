import json
from pathlib import Path

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.generators.weights import GeneratorCard, load_generator, read_card, save_generator

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
    assert card == written == read_card(path)
    assert (card.config, card.trained_on, card.seed, card.images_seen) == (CONFIG, "toys", 3, 64)
    assert (card.resolution, card.view_layers) == (8, 1)
    assert loaded.state_dict().keys() == generator.state_dict().keys()
    for name, tensor in generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    styles = generator.styles(generator.map(torch.randn(2, 4)))
    assert torch.equal(loaded.synthesize(styles), generator.synthesize(styles))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert sorted(file.name for file in path.parent.iterdir()) == ["toy.json", "toy.safetensors"]


def test_half_precision_on_disk_is_float32_in_memory(path: Path, generator: StyleGAN2Generator) -> None:
    save_generator(generator, path, CARD, half=True)
    loaded, _ = load_generator(path)
    for name, tensor in generator.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], tensor.half().float()), name


def test_other_weights_than_the_cards_are_refused(path: Path, generator: StyleGAN2Generator) -> None:
    save_generator(generator, path, CARD)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(GanverseError, match="sha256"):
        load_generator(path)


def test_missing_files(path: Path, generator: StyleGAN2Generator) -> None:
    with pytest.raises(GanverseError, match="Expected the card"):
        load_generator(path)
    save_generator(generator, path, CARD)
    path.unlink()
    with pytest.raises(GanverseError, match="Expected generator weights"):
        load_generator(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "stylegan9"}, "architecture 'stylegan2'"),
        ({"config": {"depth": 3}}, "not a generator card"),
        ({"config": {"channels": [4, 8], "resolution": 8, "z_dim": 4, "w_dim": 4}}, "do not fit"),
    ],
)
def test_cards_that_do_not_belong_are_refused(
    path: Path, generator: StyleGAN2Generator, change: dict[str, object], message: str
) -> None:
    save_generator(generator, path, CARD)
    card = path.with_suffix(".json")
    card.write_text(json.dumps({**json.loads(card.read_text()), **change}))
    with pytest.raises(GanverseError, match=message):
        load_generator(path)


def test_a_broken_card_is_refused(path: Path, generator: StyleGAN2Generator) -> None:
    save_generator(generator, path, CARD)
    path.with_suffix(".json").write_text('{"config": ')
    with pytest.raises(GanverseError, match="not a generator card"):
        read_card(path)
