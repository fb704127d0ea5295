"""`ganverse annotate` without a browser: what its server answers, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganverse import cli
from ganverse.apps.annotate import annotation_app
from ganverse.data.sources import views_beside
from ganverse.pretrained import SHIPPED
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes
from tests.apps.serving import client
from tests.apps.test_desk import make_desk
from tests.pipeline_toys import save_gan


def test_the_servers_answers(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with client(annotation_app(make_desk(save_gan(tmp_path), path), goal=5)) as asking:
        state = asking.get("/state").json()
        assert (state["goal"], state["file"], state["revision"]) == (5, str(path), "")
        seeds = [candidate["seed"] for candidate in state["candidates"]]
        picture = asking.get(f"/column/{seeds[0]}.png")
        assert picture.headers["content-type"] == "image/png"
        assert asking.get("/column/9999.png").status_code == 422

        decision = {"seed": seeds[0], "azimuth": 90, "drop": False}
        saved = asking.post("/decisions", json={"revision": "", "decisions": [decision]})
        assert saved.status_code == 200
        stale = asking.post("/decisions", json={"revision": "", "decisions": [decision]})
        assert stale.status_code == 409
        assert stale.json()["azimuths"] == {str(seeds[0]): 90.0}
        assert stale.json()["revision"] == saved.json()["revision"]
        assert len(asking.post("/more").json()["candidates"]) == 9
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
]


def test_wrong_decisions_are_one_sentence_and_save_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with client(annotation_app(make_desk(save_gan(tmp_path), path), goal=5)) as asking:
        for document in BAD:
            answer = asking.post("/decisions", json=document)
            assert answer.status_code == 422, document
            assert answer.json()["error"].startswith("expected"), document
        text = '{"revision": "", "decisions": [{"seed": 0, "azimuth": NaN}]}'
        assert asking.post("/decisions", content=text).status_code == 422
    assert not path.exists()


def test_a_file_broken_meanwhile_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with client(annotation_app(make_desk(save_gan(tmp_path), path), goal=5)) as asking:
        path.write_text("codes: [")
        answer = asking.post("/decisions", json={"revision": "", "decisions": []})
        assert answer.status_code == 422
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
