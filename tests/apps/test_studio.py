"""`ganverse studio` without a browser: what its server answers, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ganverse import cli
from ganverse.apps.studio import LARGEST_UPLOAD, NO_NEURAL, open_stage, studio_app
from ganverse.errors import GanverseError
from ganverse.evaluation.models import ModelPaths
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
        for name in ("picture.png", "object.glb", "turntable.gif"):
            file = asking.get(f"/download/{name}", params={**SCENE, "shape": added["name"]})
            assert file.status_code == 200
            assert file.headers["content-disposition"] == f'attachment; filename="{name}"'


def test_wrong_requests_are_one_sentence() -> None:
    with client(studio_app(make_stage(objects=1))) as asking:
        answers = [
            asking.post("/draw", json={}),
            asking.post("/draw", json=SCENE),
            asking.post("/draw", json={**SCENE, "scale": "large"}),
            asking.post("/draw", json={**SCENE, "elevation": 89}),
            asking.get("/thumbnail/7.png"),
            asking.get("/download/object.exe", params=SCENE),
            asking.get("/download/object.glb"),
            asking.post("/photo", content=b"no picture"),
            asking.post("/photo", content=bytes(LARGEST_UPLOAD + 1)),
        ]
    for answer in answers:
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("expected")


def test_the_shipped_weights_open() -> None:
    stage = open_stage(ModelPaths.shipped(), 1)
    with client(studio_app(stage)) as asking:
        note = asking.get("/state").json()["note"]
        assert note == (NO_NEURAL if ModelPaths.shipped().stylegan_r is None else None)
        drawn = asking.post("/draw", json={**SCENE, "texture": "0", "background": "0"}).json()
        assert (drawn["neural"] is None) == (not stage.neural)


def test_what_does_not_belong_together() -> None:
    with pytest.raises(GanverseError, match="only one of them"):
        open_stage(replace(ModelPaths.shipped(), source=None, oracle=None), 1)
    with pytest.raises(GanverseError, match="one object"):
        open_stage(ModelPaths.shipped(), 0)


def test_wrong_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for call in (["--run", str(tmp_path)], ["--inverse", str(tmp_path / "none.safetensors")]):
        assert cli.main(["studio", *call, "--port", "0", "--no-browser"]) == cli.BAD_INPUT
        assert str(tmp_path) in capsys.readouterr().err
