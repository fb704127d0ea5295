import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ganverse import cli
from ganverse.data.sources import DataSettings, segmenter_path
from ganverse.errors import GanverseError
from ganverse.masks.segmenter import CAR_WEIGHTS
from tests import pipeline_toys


def test_nothing_is_learned_before_something_is_painted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = pipeline_toys.save_gan(tmp_path)
    assert cli.main(["masks", str(generator), "--pictures", "3"]) == 0
    assert sorted(path.name for path in (tmp_path / "toy-masks").iterdir()) == ["000.png", "001.png", "002.png"]
    assert "000-mask.png" in capsys.readouterr().err
    assert cli.main(["masks", str(generator), "--labeled", "1"]) == cli.BAD_INPUT
    assert "--labeled of 2" in capsys.readouterr().err


def test_the_segmenter_beside_the_generator_is_taken(tmp_path: Path) -> None:
    generator = pipeline_toys.save_gan(tmp_path)
    assert segmenter_path(DataSettings(generator=str(generator))) == CAR_WEIGHTS
    other = DataSettings(generator=str(generator), category="other")
    with pytest.raises(GanverseError, match="ganverse masks"):
        segmenter_path(other)
    beside = tmp_path / "toy-segmenter.safetensors"
    beside.touch()
    assert segmenter_path(other) == beside
    assert segmenter_path(DataSettings(segmenter=CAR_WEIGHTS, generator=str(generator), category="bird")) == CAR_WEIGHTS


def test_a_folder_of_masks_becomes_shards_and_is_evaluated_on_those_held_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator, folder, run = pipeline_toys.save_gan(tmp_path), tmp_path / "painted", tmp_path / "run"
    masks = [f"--data.mask_folder={folder}", "--data.category=other"]
    generate = ["generate", *pipeline_toys.stage_flags("generate", run, generator), "--num-objects=9", *masks]
    assert cli.train(generate) == 0
    assert "000000-0-mask.png" in capsys.readouterr().err
    assert not run.exists()
    assert cli.train(generate) == cli.BAD_INPUT
    assert "000000-0-mask.png is missing with 17 more" in capsys.readouterr().err
    for path in sorted(folder.glob("??????-?.png")):
        mask = Image.new("L", (256, 256))
        if path.stem != "000001-0":
            ImageDraw.Draw(mask).ellipse((40, 60, 210, 200), fill=255)
        mask.save(path.with_name(f"{path.stem}-mask.png"))
    assert cli.train(generate) == 0
    shards = run / "generate" / "shards"
    manifest = json.loads((shards / "manifest.json").read_text())
    assert (manifest["samples"], manifest["images"]["kept"], manifest["images"]["no_object"]) == (8, 17, 1)
    assert (shards / "dropped.png").is_file()
    inverse = ["inverse", *pipeline_toys.stage_flags("inverse", run, generator), *masks]
    assert cli.train(inverse) == cli.BAD_INPUT
    assert "expected data.shards with data.mask_folder" in capsys.readouterr().err
    assert cli.train([*inverse, f"--data.shards={shards}"]) == 0
    evaluate = ["--run", str(run), *pipeline_toys.flags(pipeline_toys.EVALUATION)]
    assert cli.evaluate(evaluate) == 0, "nobody has said where a segmenter is"
    assert "held-out objects are the last 1 samples of" in " ".join(capsys.readouterr().out.split())
    scores = json.loads((run / "report" / "scores.json").read_text())
    assert scores["gan/iou_unseen"]["count"] == 1
    assert (run / "report" / "meshes" / "gan-1.glb").is_file()
    (folder / "000002-1-mask.png").write_bytes((folder / "000001-0-mask.png").read_bytes())
    assert cli.train([*inverse, "--run", str(tmp_path / "other"), f"--data.shards={shards}"]) == cli.BAD_INPUT
    assert "generate them again" in capsys.readouterr().err
    shutil.rmtree(shards)
    assert cli.evaluate(evaluate) == cli.BAD_INPUT
    assert "finished shards with a manifest.json" in capsys.readouterr().err
    assert cli.train(["inverse", masks[0], "--data.renderer=a", "--data.reader=b"]) == cli.BAD_INPUT
    assert "leave one of them away" in capsys.readouterr().err
