"""What people get wrong: every mistake ends in one sentence on stderr and status 2, with nothing half-written."""

from __future__ import annotations

import json
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ganverse import cli
from tests import pipeline_toys as toys

CONFIGS = {
    "text.yaml": "just words\n",
    "list.yaml": "- 1\n- 2\n",
    "broken.yaml": "a: [1, 2\n",
    "empty-key.yaml": "schedule:\n  imagez: 3\n",
    "binary.yaml": "\x00\x01",
    "other.yaml": "data:\n  color: red\n",
    "type.yaml": "half_life: long\n",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of things that are wrong in one way each; `toy.safetensors` is right."""
    folder = tmp_path_factory.mktemp("bad")
    toys.save_gan(folder)
    for name, text in CONFIGS.items():
        (folder / name).write_text(text)
    data, card, views = (
        (folder / "toy.safetensors").read_bytes(),
        (folder / "toy.json").read_text(),
        (folder / "toy-views.yaml").read_text(),
    )

    def variant(name: str, *, weights: bytes = data, facts: str | None = card, codes: str | None = views) -> None:
        (folder / f"{name}.safetensors").write_bytes(weights)
        for suffix, text in ((".json", facts), ("-views.yaml", codes)):
            if text is not None:
                (folder / f"{name}{suffix}").write_text(text)

    variant("cut", weights=data[:100])
    variant("changed", weights=data[:-1] + b"!")
    variant("cardless", facts=None)
    variant("garbled", facts="{")
    variant("listed", facts="[]")
    variant("foreign", facts=json.dumps({**json.loads(card), "architecture": "diffusion"}))
    variant("viewless", codes=None)
    variant("nonsense", codes="just words\n")
    variant("unclosed", codes="codes: [\n")
    variant("empty-views", codes="")
    variant("strange", codes=views.replace(json.loads(card)["sha256"], "0" * 64))
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    Image.new("RGB", (64, 64), (120, 160, 230)).save(folder / "sky.png")
    (folder / "none").mkdir()
    (folder / "half").mkdir()
    (folder / "half" / "manifest.json").write_text('{"fingerprint": "x"')
    (folder / "gone").mkdir()
    record = {
        "fingerprint": "x",
        "samples": 2,
        "per_shard": 2,
        "shards": [{"name": "a.tar", "samples": 2, "sha256": "0"}],
    }
    (folder / "gone" / "manifest.json").write_text(json.dumps(record))
    (folder / "alien").mkdir()
    (folder / "alien" / "manifest.json").write_text(json.dumps({**record, "samples": 200}))
    with tarfile.open(folder / "alien" / "a.tar", "w"):
        pass
    return folder


@pytest.fixture(scope="module")
def taken_port() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


GAN = "--data.generator={bad}/toy.safetensors"
CASES: dict[str, list[str]] = {
    # commands and stages
    "unknown command": ["fly"],
    "unknown stage": ["train", "fly"],
    "unknown flag": ["train", "inverse", "--color=red"],
    "misspelt flag": ["train", "inverse", "--half_lif=3"],
    "flag without a value": ["train", "inverse", "--seed"],
    "abbreviated flag": ["train", "inverse", "--see=1"],
    "stage after flags": ["train", "--run=x", "inverse"],
    # types and ranges
    "word for a number": ["train", "inverse", "--seed=one"],
    "fraction for an integer": ["train", "inverse", "--schedule.images=1.5"],
    "word for minutes": ["train", "inverse", "--minutes=soon"],
    "unknown choice": ["train", "inverse", "--trainer.accelerator=tpu"],
    "unknown precision": ["train", "inverse", "--trainer.precision=8"],
    "unknown logger": ["train", "inverse", "--logger=paper"],
    "unknown progress": ["train", "inverse", "--trainer.progress=dance"],
    "unknown masks": ["train", "inverse", "--data.masks=hand"],
    "unknown category": ["train", "inverse", "--data.category=dragon"],
    "no devices": ["train", "inverse", "--trainer.devices=0"],
    "word for devices": ["train", "inverse", "--trainer.devices=many"],
    "no nodes": ["train", "inverse", "--trainer.nodes=0"],
    "no threads": ["train", "inverse", "--trainer.threads=-2"],
    "never a checkpoint": ["train", "inverse", "--trainer.checkpoint_minutes=0"],
    "never a picture": ["train", "inverse", "--trainer.picture_minutes=-1"],
    "never a line": ["train", "inverse", "--trainer.log_every=0"],
    "empty batch": ["train", "inverse", GAN, "--network.resolution=32", "--data.batch=0"],
    "no views": ["train", "inverse", GAN, "--network.resolution=32", "--data.sampling.views=0"],
    "too many views": ["train", "inverse", GAN, "--network.resolution=32", "--data.sampling.views=99"],
    "no attempts": ["train", "inverse", GAN, "--network.resolution=32", "--data.sampling.attempts=0"],
    "crooked world views": ["train", "inverse", "--data.generator=car-world", "--data.world_views=7"],
    "zero objects": ["train", "generate", GAN, "--samples=0"],
    "zero per shard": ["train", "generate", GAN, "--per_shard=0"],
    "other resolution": ["train", "inverse", GAN, "--network.resolution=64"],
    "channels that are no list": ["train", "inverse", "--network.channels=8"],
    "world images of nothing": ["train", "gan", "--world.images=0"],
    # configuration files
    "absent config": ["train", "inverse", "--config={bad}/absent.yaml"],
    "config is a folder": ["train", "inverse", "--config={bad}/none"],
    "config of words": ["train", "inverse", "--config={bad}/text.yaml"],
    "config of a list": ["train", "inverse", "--config={bad}/list.yaml"],
    "broken config": ["train", "inverse", "--config={bad}/broken.yaml"],
    "config with an unknown key": ["train", "inverse", "--config={bad}/empty-key.yaml"],
    "config of bytes": ["train", "inverse", "--config={bad}/binary.yaml"],
    "config with unknown data": ["train", "disentangle", "--config={bad}/other.yaml"],
    "config of a wrong type": ["train", "inverse", "--config={bad}/type.yaml"],
    # generators
    "absent generator": ["train", "inverse", "--data.generator={bad}/absent.safetensors"],
    "generator is a folder": ["train", "inverse", "--data.generator={bad}/none"],
    **{
        f"{kind} generator": ["train", "generate", f"--data.generator={{bad}}/{kind}.safetensors"]
        for kind in ("cut", "changed", "cardless", "garbled", "listed", "foreign")
    },
    # view codes
    **{
        f"{kind} view codes": ["train", "generate", f"--data.generator={{bad}}/{kind}.safetensors"]
        for kind in ("viewless", "nonsense", "unclosed", "empty-views", "strange")
    },
    "absent view codes": ["train", "generate", GAN, "--data.view_codes={bad}/absent.yaml"],
    # masks, shards, teachers
    "truth where there is none": ["train", "generate", GAN, "--data.masks=truth"],
    "absent segmenter": ["train", "generate", GAN, "--data.segmenter={bad}/absent.safetensors"],
    "generator for a segmenter": ["train", "generate", GAN, "--data.segmenter={bad}/toy.safetensors"],
    **{
        f"shards: {kind}": ["train", "inverse", GAN, "--network.resolution=32", f"--data.shards={{bad}}/{kind}"]
        for kind in ("none", "absent", "half", "gone", "alien")
    },
    "absent teacher": ["train", "disentangle", GAN, "--inverse={bad}/absent.safetensors"],
    "generator for a teacher": ["train", "disentangle", GAN, "--inverse={bad}/toy.safetensors"],
    "teacher of another GAN": ["train", "disentangle", GAN],
    "absent start": ["train", "gan", "--init_from={bad}/absent.safetensors"],
    "report of nothing": ["train", "report", GAN],
    # evaluation
    "evaluate nothing": ["evaluate", "--run={bad}/none"],
    "evaluate an absent run": ["evaluate", "--run={bad}/absent"],
    "evaluate two things": ["evaluate", "--run={bad}/none", "--checkpoint={bad}/toy.safetensors"],
    "evaluate a pickle": ["evaluate", "--checkpoint={bad}/last.ckpt"],
    "evaluate absent weights": ["evaluate", "--checkpoint={bad}/absent.safetensors"],
    "evaluate a generator": ["evaluate", "--checkpoint={bad}/toy.safetensors"],
    "evaluate garbled weights": ["evaluate", "--checkpoint={bad}/garbled.safetensors"],
    # photos and view search
    "absent photo": ["reconstruct", "{bad}/absent.jpg", "-o", "{out}/a.glb"],
    "photo of text": ["reconstruct", "{bad}/text.png", "-o", "{out}/a.glb"],
    "empty photo": ["reconstruct", "{bad}/empty.jpg", "-o", "{out}/a.glb"],
    "photo is a folder": ["reconstruct", "{bad}/none", "-o", "{out}/a.glb"],
    "mesh of an unknown kind": ["reconstruct", "{bad}/sky.png", "-o", "{out}/a.stl"],
    "absent weights": ["reconstruct", "{bad}/sky.png", "-o", "{out}/a.glb", "--weights", "{bad}/absent.safetensors"],
    "weights of a generator": [
        "reconstruct",
        "{bad}/sky.png",
        "-o",
        "{out}/a.glb",
        "--weights",
        "{bad}/toy.safetensors",
    ],
    "views of an absent GAN": ["views", "{bad}/absent.safetensors"],
    "views replacing a word": ["views", "--replaces=nothing"],
    "views: unknown flag": ["views", "--color=red"],
    # places and ports
    "run below a file": ["train", "generate", GAN, "--run={bad}/text.png/run"],
    "run is a file": ["train", "generate", GAN, "--run={bad}/text.png"],
    "run where nothing can be": ["train", "inverse", GAN, "--network.resolution=32", "--run=/proc/nowhere"],
    "report below a file": ["evaluate", "--output={bad}/text.png/report"],
    "studio on a port in use": ["studio", "--port={port}", "--no-browser"],
    "annotation on a port in use": ["annotate", "{bad}/toy.safetensors", "--port={port}", "--no-browser"],
    "port out of range": ["studio", "--port=99999"],
    "annotation of an absent GAN": ["annotate", "{bad}/absent.safetensors", "--port=0", "--no-browser"],
    "studio of an absent network": ["studio", "--inverse={bad}/absent.safetensors", "--port=0", "--no-browser"],
    "import of nothing": ["import-gan", "{bad}/absent.pkl", "-o", "{out}/gan"],
    "import of a folder": ["import-gan", "{bad}/none", "-o", "{out}/gan"],
    "import of text": ["import-gan", "{bad}/text.png", "-o", "{out}/gan"],
}


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("arguments", CASES.values(), ids=CASES.keys())
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    arguments: list[str],
    world: Path,
    taken_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [argument.format(bad=world, out=tmp_path, port=taken_port) for argument in arguments]
    if given[:1] == ["train"] and len(given) > 2 and not any(argument.startswith("--run=") for argument in given[2:]):
        given.append(f"--run={tmp_path / 'run'}")
    assert cli.main(given) == cli.BAD_INPUT
    complaint = capsys.readouterr().err
    said = [line for line in complaint.splitlines() if line.startswith("ganverse: ")]
    assert len(said) == 1, complaint
    assert complaint.splitlines()[-1] == said[0], "the sentence comes last and is one line"
    assert "Traceback" not in complaint
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [], "nothing is half-written"
