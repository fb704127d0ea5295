"""What happens to a generator between being recognized and being written, and that a run takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ganverse import cli
from ganverse.data.sampling import SamplingSettings
from ganverse.data.sources import SourceSettings, open_source
from ganverse.errors import GanverseError
from ganverse.generators.weights import GeneratorCard, save_generator
from ganverse.importing import importer
from ganverse.importing.conversion import Imported
from ganverse.importing.importer import fill
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims
from tests.importing_toys import port_names, stylegan1, stylegan2, torch_saved


def described(generator: Any, *, without: str = "-") -> Imported:
    weights = {name: tensor for name, tensor in generator.state_dict().items() if not name.startswith(without)}
    return Imported("toys", generator.config, weights, "MIT")


def test_what_is_missing_is_supplied_the_same_way_every_time() -> None:
    notes: list[str] = []
    first = fill(described(stylegan1(), without="noise_"), notes)
    second = fill(described(stylegan1(), without="noise_"), [])
    assert notes == ["noise planes drawn with seed 0"]
    for a, b in zip(first.noise_planes, second.noise_planes, strict=True):
        assert torch.equal(a, b)
    assert 0.5 < torch.cat([plane.flatten() for plane in first.noise_planes]).std() < 1.5


def test_sizes_are_bounded() -> None:
    for changes in ({"resolution": 4096, "channels": (1,) * 11}, {"resolution": 2048, "channels": (512,) * 10}):
        with pytest.raises(GanverseError, match="expected"):
            replace(stylegan1().config, **changes)


def test_a_folder_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "g.pt").write_bytes(torch_saved(port_names(stylegan1())))
    assert cli.main(["import-gan", str(tmp_path / "g.pt"), "-o", str(tmp_path / "g.pt")]) == cli.BAD_INPUT
    assert "a folder to write to" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["safetensors", "json"])
def test_a_full_disk_leaves_nothing(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, data: bytes) -> int:
        fails = file in path.name
        with path.open("wb") as stream:
            written = stream.write(data[:10] if fails else data)
        if fails:
            raise OSError("No space left on device")
        return written

    data = torch_saved(port_names(stylegan1()))
    (tmp_path / "g.pt").write_bytes(data)
    monkeypatch.setattr(Path, "write_bytes", full)
    assert cli.main(["import-gan", str(tmp_path / "g.pt"), "-o", str(tmp_path / "out")]) == cli.BAD_INPUT
    assert list((tmp_path / "out").iterdir()) == []
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize("make", [stylegan1, stylegan2])
def test_a_run_draws_samples_from_it(make: Any, tmp_path: Path) -> None:
    generator = make(resolution=64, channels=(8, 8, 6, 5, 4), noise="random")
    path = tmp_path / "g.safetensors"
    card = save_generator(generator, path, GeneratorCard(generator.config, "MIT", "toys", 0, 0))
    views = tuple(ViewCode(seed, 15.0 * seed) for seed in range(24))
    codes = ViewCodes(card.sha256, layer_dims(generator.style_sizes, 4), views)
    codes.save(tmp_path / "g-views.yaml")
    batch = open_source(SourceSettings(str(path))).sampler(SamplingSettings(attempts=1)).draw(torch.arange(2)).batch
    assert batch.images.shape == (2, 2, 3, 64, 64)
    assert batch.images.std() > 0.01


def test_the_trial_image_is_synthesized_with_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = stylegan2()
    importer._try(generator)
    generator.blocks[2].conv1.bias.fill_(3e38)
    with pytest.raises(GanverseError, match="not finite"):
        importer._try(generator)
