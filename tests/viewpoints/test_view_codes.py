from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganverse.errors import GanverseError
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.viewpoints.view_codes import (
    ViewCode,
    ViewCodes,
    dims_from_text,
    dims_to_text,
    layer_dims,
    mix_styles,
    view_latents,
    view_styles,
)

CODES = ViewCodes("toy", (0, 1, 2, 5, 7, 8), (ViewCode(4, 0.0), ViewCode(9, 127.25), ViewCode(2, 359.5)))


@pytest.fixture
def generator() -> StyleGAN2Generator:
    torch.manual_seed(0)
    config = StyleGAN2Config(resolution=8, z_dim=6, w_dim=6, mapping_layers=1, channels=(4, 4), view_layers=1)
    return StyleGAN2Generator(config).eval()


def test_file_round_trip_keeps_everything_and_explains_itself(tmp_path: Path) -> None:
    path = tmp_path / "codes.yaml"
    CODES.save(path)
    assert ViewCodes.load(path) == CODES
    text = path.read_text()
    assert "degrees" in text.split("generator:")[1]
    assert "view_dims: '0-2, 5, 7-8'" in text


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (("azimuth: 0}", "azimuth: 360}"), r"\[0, 360\)"),
        (("azimuth: 0}", "azimuth: -1}"), r"\[0, 360\)"),
        (("azimuth: 0}", "azimuth: .nan}"), "finite numbers in codes"),
        (("azimuth: 0}", "azimuth: left}"), "azimuth .*valid number"),
        (("azimuth: 0}", "angle: 0}"), r"codes\.0\.a"),
        (("azimuth: 0}", "azimuth: 0, elevation: 3}"), r"codes\.0\.elevation"),
        (("seed: 9", "seed: 4"), "occurs again"),
        (("seed: 9", "seed: nine"), "integer"),
        (("generator: toy", "color: red"), "an unknown one, 'color'"),
        (("0-2, 5", "0..2, 5"), "ranges"),
        (("0-2, 5", "5, 0-2"), "ascending"),
        (("codes:", "codes: ["), "expected YAML"),
    ],
)
def test_a_slip_of_the_hand_is_explained(tmp_path: Path, edit: tuple[str, str], complaint: str) -> None:
    path = tmp_path / "codes.yaml"
    CODES.save(path)
    header, body = path.read_text().split("generator: toy")
    path.write_text(header + ("generator: toy" + body).replace(*edit))
    with pytest.raises(GanverseError, match=complaint) as caught:
        ViewCodes.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_an_empty_one_are_explained(tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match="found nothing"):
        ViewCodes.load(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").touch()
    with pytest.raises(GanverseError, match="a mapping"):
        ViewCodes.load(tmp_path / "empty.yaml")


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (("view_dims: '0-2, 5, 7-8'", "view_dims: 0-99999999999"), "ranges"),
        (("view_dims: '0-2, 5, 7-8'", "view_dims: 0-9999999"), "below"),
        (("view_dims: '0-2, 5, 7-8'", "view_dims: 0-999999, 0-999999"), "below"),
        (("view_dims: '0-2, 5, 7-8'", "view_dims: 0x" + "f" * 9000), "numbers in view_dims"),
        (("view_dims: '0-2, 5, 7-8'", "view_dims: [1, 2]"), "valid value of view_dims"),
        (("azimuth: 0}", "azimuth: " + "9" * 400 + "}"), r"\[0, 360\)"),
        (("azimuth: 0}", "azimuth: 0x" + "f" * 9000 + "}"), "numbers in codes"),
        (("azimuth: 0}", "azimuth: .inf}"), "numbers in codes"),
        (("azimuth: 0}", "azimuth: 2001-01-01}"), "numbers in codes"),
        (("azimuth: 0}", "azimuth: " + "a" * 9000 + "}"), "azimuth .*valid number"),
        (("seed: 9", "seed: " + "9" * 40), "seed of at least 0"),
        (("seed: 9", "seed: 2001-01-01"), "numbers in codes"),
        (("seed: 9", "seed: true"), "integer"),
        (("azimuth: 0}", "azimuth: 0, " + "b" * 900 + ": 1}"), r"codes\.0\.bbb"),
        (("generator: toy", "generator: &a toy\ndirections: *a"), "alias"),
        (("generator: toy", "generator: toy\ngenerator: toy"), "2 times"),
        (("codes:", "codes: 1\nuncertain:"), "valid value of codes"),
    ],
)
def test_hostile_files_are_one_short_sentence(tmp_path: Path, edit: tuple[str, str], complaint: str) -> None:
    path = tmp_path / "codes.yaml"
    CODES.save(path)
    header, body = path.read_text().split("generator: toy")
    changed = ("generator: toy" + body).replace(*edit)
    assert changed != "generator: toy" + body
    path.write_text(header + changed)
    with pytest.raises(GanverseError, match=complaint) as caught:
        ViewCodes.load(path)
    assert len(str(caught.value)) < 400 + len(str(path))
    assert "\n" not in str(caught.value)


@given(
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=6, unique=True),
    azimuth=st.one_of(st.floats(0, 359.999999), st.just(1e-5)),
    dims=st.sets(st.integers(0, 2**20 - 1), min_size=1, max_size=20),
)
def test_any_codes_survive_their_file(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int], azimuth: float, dims: set[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    codes = tuple(ViewCode(seed, round(azimuth, 6)) for seed in seeds[1:])
    views = ViewCodes("1e5", tuple(sorted(dims)), codes, "abc", dropped=(seeds[0],), uncertain=tuple(seeds[1:]))
    views.save(path)
    assert ViewCodes.load(path, allow_empty=True) == views


def test_an_empty_list_of_codes_is_for_annotators_only(tmp_path: Path) -> None:
    path = tmp_path / "codes.yaml"
    ViewCodes("toy", (0, 1), ()).save(path)
    assert len(ViewCodes.load(path, allow_empty=True)) == 0
    with pytest.raises(GanverseError, match="at least one view code"):
        ViewCodes.load(path)


def test_codes_of_another_generator_are_refused(generator: StyleGAN2Generator) -> None:
    CODES.check(generator)
    too_far = ViewCodes("toy", (sum(generator.style_sizes),), CODES.codes)
    with pytest.raises(GanverseError, match="belongs to another generator"):
        too_far.check(generator)


@pytest.mark.parametrize("dims", [(0,), (0, 1, 2), (3, 5, 6, 7, 11)])
def test_dims_text_round_trip(dims: tuple[int, ...]) -> None:
    assert dims_from_text(dims_to_text(dims)) == dims


def test_layer_dims_are_the_first_layers() -> None:
    assert layer_dims((3, 2, 4), 2) == (0, 1, 2, 3, 4)
    with pytest.raises(GanverseError, match="between 1 and 3"):
        layer_dims((3, 2, 4), 4)


def test_latents_depend_on_their_own_seed_only() -> None:
    state = torch.get_rng_state()
    several = view_latents([5, 6, 7], 16)
    assert torch.equal(several[1:2], view_latents([6], 16))
    assert not torch.equal(several[0], several[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_view_styles_and_compose_move_the_view_and_nothing_else(generator: StyleGAN2Generator) -> None:
    view = view_styles(generator, CODES)
    whole = generator.styles(generator.map(view_latents([9], generator.z_dim))).detach()
    assert torch.equal(view[1], whole[0, list(CODES.view_dims)])
    content = torch.randn(3, sum(generator.style_sizes))
    composed = mix_styles(content, view, CODES.view_dims)
    rest = [d for d in range(content.shape[1]) if d not in CODES.view_dims]
    assert torch.equal(composed[:, list(CODES.view_dims)], view)
    assert torch.equal(composed[:, rest], content[:, rest])


def test_a_hash_is_that_of_the_content_and_not_of_the_layout(tmp_path: Path) -> None:
    codes = ViewCodes("gan", (0, 1), (ViewCode(3, 90.0), ViewCode(5, 30.0)))
    codes.save(tmp_path / "v.yaml")
    (tmp_path / "v.yaml").write_text("# a remark\n" + (tmp_path / "v.yaml").read_text())
    assert ViewCodes.load(tmp_path / "v.yaml").sha256 == codes.sha256
    assert replace(codes, codes=(ViewCode(3, 90.0), ViewCode(5, 60.0))).sha256 != codes.sha256
