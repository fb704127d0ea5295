"""The annotation desk: proposals, saving, resuming, and who else writes the file."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganverse.apps.desk import Desk, column, open_annotation
from ganverse.errors import GanverseError
from ganverse.generators.protocol import SubspaceGenerator
from ganverse.generators.weights import load_generator
from ganverse.viewpoints.annotation import Decision
from ganverse.viewpoints.directions import ContentDirections, directions_path, save_directions
from ganverse.viewpoints.proposal import CandidateSettings
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims
from tests.pipeline_toys import GAN, save_gan

SETTINGS = CandidateSettings(pool=10)


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gan(tmp_path_factory.mktemp("gan"))


def make_desk(gan: Path, file: Path, layers: int | None = None) -> Desk:
    generator, card = load_generator(gan)
    return Desk(*open_annotation(generator, card.sha256, file, layers), SETTINGS)


def test_a_new_file_replaces_the_generators_own_layers(gan: Path, tmp_path: Path) -> None:
    desk = make_desk(gan, tmp_path / "new.yaml")
    assert not (tmp_path / "new.yaml").exists()
    assert len(desk.candidates) == 9
    seeds = list(desk.candidates)
    saved, revision = desk.decide("", [Decision(seeds[0], 60), Decision(seeds[1], drop=True)])
    assert saved
    sizes = load_generator(gan)[0].style_sizes
    found = ViewCodes.load(tmp_path / "new.yaml")
    assert found.view_dims == layer_dims(sizes, GAN.view_layers)
    assert found.codes == (ViewCode(seeds[0], 60),)
    assert desk.read() == revision


def test_stale_decisions_are_not_saved(gan: Path, tmp_path: Path) -> None:
    desk = make_desk(gan, tmp_path / "new.yaml")
    first, second, *_ = desk.candidates
    _, revision = desk.decide("", [Decision(first, 60)])
    before = (tmp_path / "new.yaml").read_bytes()
    saved, now = desk.decide("", [Decision(second, 90)])
    assert not saved
    assert now == revision
    assert (tmp_path / "new.yaml").read_bytes() == before
    assert desk.decide(now.name, [Decision(second, 90)])[0]


def test_resuming_shows_what_was_decided_first(gan: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    desk = make_desk(gan, path)
    last = list(desk.candidates)[-2:]
    desk.decide("", [Decision(last[0], drop=True), Decision(last[1], 330)])
    again = make_desk(gan, path)
    assert list(again.candidates)[:2] == [last[1], last[0]]
    assert set(again.candidates) == set(desk.candidates)
    assert again.candidates[last[0]].picture == desk.candidates[last[0]].picture


def test_codes_from_an_editor_become_candidates(gan: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    desk = make_desk(gan, path)
    desk.decide("", [Decision(next(iter(desk.candidates)), 60)])
    codes = ViewCodes.load(path)
    replace(codes, codes=(*codes.codes, ViewCode(777, 90))).save(path)
    assert ViewCode(777, 90) in desk.read().views.codes
    assert 777 in desk.candidates
    with pytest.raises(GanverseError, match="778"):
        desk.decide("", [Decision(778, 0)])


def test_more_candidates_are_others(gan: Path, tmp_path: Path) -> None:
    desk = make_desk(gan, tmp_path / "new.yaml")
    before = set(desk.candidates)
    fresh = {candidate.seed for candidate in desk.propose()}
    assert len(fresh) == 9
    assert not fresh & before
    assert set(desk.candidates) == fresh | before


def test_layers_against_the_file(gan: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    desk = make_desk(gan, path, layers=1)
    desk.decide("", [Decision(next(iter(desk.candidates)), 60)])
    assert make_desk(gan, path).read().views.view_dims == ViewCodes.load(path).view_dims
    with pytest.raises(GanverseError, match="--layers"):
        make_desk(gan, path, layers=2)
    with pytest.raises(GanverseError, match="view layers"):
        make_desk(gan, tmp_path / "other.yaml", layers=99)


def test_codes_inside_content_directions_can_be_corrected(gan: Path, tmp_path: Path) -> None:
    generator, card = load_generator(gan)
    read = torch.randn(sum(generator.style_sizes), 2)
    path = tmp_path / "new.yaml"
    sha256 = save_directions(directions_path(path), ContentDirections(read, torch.linalg.pinv(read).T))
    ViewCodes(card.sha256, (0, 1), (ViewCode(3, 30),), directions=sha256).save(path)
    opened, file = open_annotation(generator, card.sha256, path, None)
    assert isinstance(opened, SubspaceGenerator)
    desk = Desk(opened, file, SETTINGS)
    desk.decide(desk.read().name, [Decision(3, 60)])
    assert ViewCodes.load(path) == ViewCodes(card.sha256, (0, 1), (ViewCode(3, 60),), directions=sha256)


def test_columns_are_small_pictures() -> None:
    with Image.open(io.BytesIO(column(torch.rand(3, 3, 384, 512)))) as picture:
        assert picture.size == (128, 3 * 96)
