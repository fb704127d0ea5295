"""`ganverse annotate` without a browser: candidates, saving, resuming, other writers, and what its server answers."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganverse import cli
from ganverse.apps.annotate import Decision, Desk, annotation_app, column, open_annotation
from ganverse.errors import GanverseError
from ganverse.generators.protocol import SubspaceGenerator
from ganverse.generators.weights import load_generator
from ganverse.pretrained import SHIPPED, views_beside
from ganverse.viewpoints.directions import ContentDirections, directions_path, save_directions
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims
from tests.apps.serving import client
from tests.pipeline_toys import GAN, save_gan

POOL = 10


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gan(tmp_path_factory.mktemp("gan"))


def make_desk(gan: Path, file: Path, layers: int | None = None) -> Desk:
    generator, card = load_generator(gan)
    return Desk(*open_annotation(generator, card.sha256, file, layers), POOL)


def test_a_new_file_replaces_the_generators_own_layers(gan: Path, tmp_path: Path) -> None:
    desk = make_desk(gan, tmp_path / "new.yaml")
    assert not (tmp_path / "new.yaml").exists()
    assert len(desk.candidates) == 10
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
    assert again.candidates[last[0]] == desk.candidates[last[0]]


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
    fresh = set(desk.propose())
    assert len(fresh) == 10
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
    desk = Desk(opened, file, POOL)
    desk.decide(desk.read().name, [Decision(3, 60)])
    assert ViewCodes.load(path) == ViewCodes(card.sha256, (0, 1), (ViewCode(3, 60),), directions=sha256)


def test_columns_are_small_pictures() -> None:
    with Image.open(io.BytesIO(column(torch.rand(3, 3, 384, 512)))) as picture:
        assert picture.size == (128, 3 * 96)


def test_the_servers_answers(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with client(annotation_app(make_desk(save_gan(tmp_path), path), goal=5)) as asking:
        state = asking.get("/state").json()
        assert (state["goal"], state["file"], state["revision"]) == (5, str(path), "")
        seeds = [candidate["seed"] for candidate in state["candidates"]]
        picture = asking.get(f"/column/{seeds[0]}.png")
        assert picture.headers["content-type"] == "image/png"
        for seed in ("9999", "-1", "x", "9" * 5000):
            assert asking.get(f"/column/{seed}.png").status_code == 400

        decision = {"seed": seeds[0], "azimuth": 90, "drop": False}
        saved = asking.post("/decisions", json={"revision": "", "decisions": [decision]})
        assert saved.status_code == 200
        stale = asking.post("/decisions", json={"revision": "", "decisions": [decision]})
        assert stale.status_code == 409
        assert stale.json()["azimuths"] == {str(seeds[0]): 90.0}
        assert stale.json()["revision"] == saved.json()["revision"]
        assert len(asking.post("/more").json()["candidates"]) == 10
    assert ViewCodes.load(path).codes == (ViewCode(seeds[0], 90),)


BAD = [
    {},
    {"revision": 3, "decisions": []},
    {"revision": "", "decisions": {}},
    {"revision": "", "decisions": [3]},
    {"revision": "", "decisions": [{"seed": "0", "azimuth": 30}]},
    {"revision": "", "decisions": [{"seed": True, "azimuth": 30}]},
    {"revision": "", "decisions": [{"seed": 0, "azimuth": "30"}]},
    {"revision": "", "decisions": [{"seed": 0, "azimuth": 360}]},
    {"revision": "", "decisions": [{"seed": 0, "azimuth": 30, "drop": True}]},
    {"revision": "", "decisions": [{"seed": 0, "azimuth": None, "drop": 1}]},
    {"revision": "", "decisions": [{"seed": 10**9, "azimuth": 30}]},
    {"revision": "", "decisions": [{"seed": 10**9 + k, "azimuth": 30} for k in range(9999)]},
    {"revision": ["x" * 100_000], "decisions": []},
]


def test_wrong_decisions_are_one_sentence_and_save_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with client(annotation_app(make_desk(save_gan(tmp_path), path), goal=5)) as asking:
        for document in BAD:
            answer = asking.post("/decisions", json=document)
            assert answer.status_code == 400, document
            assert answer.json()["error"].startswith("expected"), document
            assert len(answer.text) < 300
        text = '{"revision": "", "decisions": [{"seed": 0, "azimuth": NaN}]}'
        assert asking.post("/decisions", content=text).status_code == 400
    assert not path.exists()


def test_a_file_broken_meanwhile_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with client(annotation_app(make_desk(save_gan(tmp_path), path), goal=5)) as asking:
        path.write_text("codes: [")
        answer = asking.post("/decisions", json={"revision": "", "decisions": []})
        assert answer.status_code == 400
        assert "YAML" in answer.json()["error"]
    assert path.read_text() == "codes: ["


def test_weights_in_the_package_are_annotated_in_the_current_folder(tmp_path: Path) -> None:
    assert views_beside(tmp_path / "my.safetensors") == tmp_path / "my-views.yaml"
    assert views_beside(SHIPPED / "gan-car.safetensors") == Path("gan-car-views.yaml")


def test_wrong_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "none.safetensors")
    assert cli.main(["annotate", missing, "--port", "0", "--no-browser"]) == cli.BAD_INPUT
    assert "none.json" in capsys.readouterr().err
    (tmp_path / "other.yaml").write_text((SHIPPED / "gan-car-views.yaml").read_text())
    call = ["annotate", str(save_gan(tmp_path)), "-o", str(tmp_path / "other.yaml"), "--port", "0", "--no-browser"]
    assert cli.main(call) == cli.BAD_INPUT
    assert "expected view codes of generator" in capsys.readouterr().err
