"""`ganverse studio` without a browser: what its server answers, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ganverse import cli
from ganverse.apps.studio import LARGEST_UPLOAD, NO_NEURAL, open_stage, studio_app
from ganverse.errors import GanverseError
from ganverse.pretrained import SHIPPED
from tests.apps.serving import client
from tests.apps.studio_toys import make_stage, photo_file

SCENE = {"shape": "0", "texture": "1", "background": "2", "azimuth": 40, "elevation": 10, "scale": 1}


def test_the_servers_answers() -> None:
    with client(studio_app(make_stage())) as asking:
        state = asking.get("/state").json()
        assert (state["objects"], state["note"]) == (["0", "1", "2"], None)
        assert state["elevations"][0] <= state["elevation"] <= state["elevations"][1]
        drawn = asking.post("/draw", json=SCENE).json()
        assert drawn["mesh"].startswith("data:image/png;base64,")
        assert drawn["neural"].startswith("data:image/png;base64,")
        assert drawn["milliseconds"] >= 0
        assert asking.post("/sample").json() == {"name": "3"}
        assert asking.get("/thumbnail/3.png").headers["content-type"] == "image/png"
        added = asking.post("/photo", content=photo_file()).json()
        assert 0 <= added["azimuth"] < 360
        assert added["name"] in asking.get("/state").json()["objects"]
        kinds = {"picture.png": "image/png", "object.glb": "model/gltf-binary", "turntable.gif": "image/gif"}
        for name, kind in kinds.items():
            file = asking.post(f"/download/{name}", json={**SCENE, "shape": added["name"]})
            assert (file.status_code, file.headers["content-type"]) == (200, kind)


def test_no_get_renders() -> None:
    """Another site's page can send a GET, as the address of a picture, but no POST: that has its Origin."""
    with client(studio_app(make_stage())) as asking:
        assert asking.get("/download/picture.png", params=SCENE).status_code == 405
        foreign = asking.post("/download/picture.png", json=SCENE, headers={"origin": "http://evil.example"})
        assert foreign.status_code == 403


def test_wrong_requests_are_one_sentence() -> None:
    with client(studio_app(make_stage(objects=1))) as asking:
        answers = [
            asking.post("/draw", json={}),
            asking.post("/draw", json=SCENE),
            asking.post("/draw", json={**SCENE, "scale": "large"}),
            asking.post("/draw", json={**SCENE, "elevation": 89}),
            asking.get("/thumbnail/7.png"),
            asking.post("/draw", json={**SCENE, "shape": "x" * 100_000}),
            asking.post(
                "/draw", content=b'{"shape": "\\ud800", ' + json.dumps({**SCENE, "texture": "0"})[13:].encode()
            ),
            asking.post("/draw", content=json.dumps({**SCENE, "azimuth": float("nan")})),
            asking.post("/download/object.exe", json=SCENE),
            asking.post("/download/object.glb"),
            asking.post("/download/object.glb", json={**SCENE, "azimuth": "nan"}),
            asking.post("/download/object.glb", content=b'{"azimuth": ' + b"9" * 5000 + b"}"),
            asking.post("/photo", content=b"no picture"),
            asking.post("/photo", content=bytes(LARGEST_UPLOAD + 1)),
        ]
    for answer in answers:
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("expected")
        assert len(answer.text) < 500


def test_the_shipped_weights_open() -> None:
    stage = open_stage(objects=1)
    with client(studio_app(stage)) as asking:
        note = asking.get("/state").json()["note"]
        assert note == (None if stage.neural else NO_NEURAL)
        drawn = asking.post("/draw", json={**SCENE, "texture": "0", "background": "0"}).json()
        assert (drawn["neural"] is None) == (not stage.neural)


def test_a_run_without_stylegan_r_opens(tmp_path: Path) -> None:
    folder = tmp_path / "inverse"
    folder.mkdir()
    for ending in (".safetensors", ".json"):
        shutil.copy(SHIPPED / f"inverse-car{ending}", folder / f"inverse{ending}")
    config = "data:\n  class_path: ganverse.data.MultiViewStream\n  init_args: {generator: car}\n"
    (folder / "config.yaml").write_text(config)
    stage = open_stage(run=tmp_path, objects=1)
    assert not stage.neural
    assert list(stage.objects) == ["0"]


def test_what_does_not_belong_together() -> None:
    with pytest.raises(GanverseError, match="architecture"):
        open_stage(inverse=SHIPPED / "stylegan-r-car.safetensors", objects=1)
    with pytest.raises(GanverseError, match="--objects"):
        open_stage(objects=0)


def test_wrong_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for call in (["--run", str(tmp_path)], ["--inverse", str(tmp_path / "none.safetensors")]):
        assert cli.main(["studio", *call, "--port", "0", "--no-browser"]) == cli.BAD_INPUT
        assert str(tmp_path) in capsys.readouterr().err
