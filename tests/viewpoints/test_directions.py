"""Content directions on disk, and the view codes that presume them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.generators.protocol import SubspaceGenerator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.viewpoints.directions import ContentDirections, directions_path, open_views, save_directions
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes


@pytest.fixture
def generator() -> StyleGAN2Generator:
    return StyleGAN2Generator(
        StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, mapping_layers=1, channels=(4, 4), view_layers=1)
    )


def written(folder: Path, styles: int) -> Path:
    read = torch.randn(styles, 2)
    path = folder / "gan-views.yaml"
    sha256 = save_directions(directions_path(path), ContentDirections(read, torch.linalg.pinv(read).T))
    ViewCodes("gan", (0, 1), (ViewCode(3, 90.0),), directions=sha256).save(path)
    return path


def test_codes_with_directions_wrap_the_generator(tmp_path: Path, generator: StyleGAN2Generator) -> None:
    wrapped, codes = open_views(written(tmp_path, sum(generator.style_sizes)), generator)
    assert isinstance(wrapped, SubspaceGenerator)
    assert wrapped.generator is generator
    assert sum(wrapped.style_sizes) == sum(generator.style_sizes) + 2
    assert codes.view_dims == (0, 1)


def test_codes_without_directions_leave_the_generator_alone(tmp_path: Path, generator: StyleGAN2Generator) -> None:
    ViewCodes("gan", (0, 1), (ViewCode(3, 90.0),)).save(tmp_path / "v.yaml")
    assert open_views(tmp_path / "v.yaml", generator)[0] is generator


def test_files_that_do_not_belong_together(tmp_path: Path, generator: StyleGAN2Generator) -> None:
    path = written(tmp_path, 5)
    with pytest.raises(GanverseError, match="expected content directions of"):
        open_views(path, generator)
    directions_path(path).write_bytes(b"another")
    with pytest.raises(GanverseError, match="keep both files together"):
        open_views(path, generator)
    directions_path(path).unlink()
    with pytest.raises(GanverseError, match="cannot be read"):
        open_views(path, generator)
