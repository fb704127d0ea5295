"""What people get wrong: every mistake ends in one sentence on stderr and status 2, with nothing half-written."""

from __future__ import annotations

import json
import os
import socket
import tarfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ganverse import cli
from ganverse.pretrained import SHIPPED
from tests import pipeline_toys as toys
from tests.bounds import bounded

CONFIGS: dict[str, bytes] = {
    "text.yaml": b"just words\n",
    "list.yaml": b"- 1\n- 2\n",
    "broken.yaml": b"a: [1, 2\n",
    "unknown.yaml": b"modle: {class_path: InverseGraphics}\n",
    "nested.yaml": b"model: {class_path: InverseGraphics, init_args: {imagez: 3}}\n",
    "binary.yaml": b"\x00\x01",
    "latin.yaml": "# caf\u00e9\nmodel: {class_path: InverseGraphics}\n".encode("latin-1"),
    "other.yaml": b"model: {class_path: Disentanglement}\n"
    b"data: {class_path: MultiViewStream, init_args: {color: red}}\n",
    "type.yaml": b"model: {class_path: InverseGraphics, init_args: {ema_half_life: long}}\n",
    "stageless.yaml": b"run: x\nstages: {}\n",
    "wordy-stage.yaml": b"stages: {inverse: fit}\n",
    "unknown-command.yaml": b"stages: {inverse: {train: {}}}\n",
    "alias.yaml": b"stages: {a: &a {evaluate: {}}, b: *a}\n",
    "twice.yaml": b"run: a\nrun: b\nstages: {a: {evaluate: {}}}\n",
    "outside.yaml": b"stages: {../a: {evaluate: {}}}\n",
    "itself.yaml": b"stages: {.: {evaluate: {}}}\n",
    "settings.yaml": b"stages: {a: {fit: [1]}}\n",
    "dates.yaml": b"stages: {a: {fit: {model: 2020-01-01}}}\n",
    "two.yaml": b"stages: {a: {fit: {}, predict: {}}}\n",
    "views.yaml": b"front: 0\nside: 90\n",
    "nul.yaml": b'run: "a\\0b"\nstages: {a: {evaluate: {}}}\n',
    "alone.yaml": b"stages: {a: {evaluate: {}}}\n",
}


COUNTS = {"epoch": 0, "global_step": 1}
CHECKPOINTS: dict[str, Any] = {
    "number": 7,
    "list": [1],
    "countless": {"state_dict": {"a": torch.zeros(1)}},
    "weightless": {**COUNTS, "state_dict": {}},
    "listed": {**COUNTS, "state_dict": ["a"]},
    "wordy": {**COUNTS, "state_dict": {"a": "b"}},
    "swollen": {**COUNTS, "state_dict": {"a": torch.zeros(1).expand(10**9)}},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of things that are wrong in one way each; `toy.safetensors` is right."""
    for place in ("ganverse.tasks:", "ganverse.training.cli:", "ganverse.evaluation.command:", *cli.COMMANDS.values()):
        import_module(place.split(":")[0])  # which is no input's cost
    folder = tmp_path_factory.mktemp("bad")
    toys.save_gan(folder)
    save_strangers(folder)
    for name, text in CONFIGS.items():
        (folder / name).write_bytes(text)
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
    (folder / "text.ckpt").write_text("no checkpoint")
    for name, content in CHECKPOINTS.items():
        torch.save(content, folder / f"{name}.ckpt")
    for name in ("none", "objectless", "maskless"):
        (folder / name).mkdir()
    for name in ("objectless", "maskless"):
        (folder / name / "views.yaml").write_bytes(CONFIGS["views.yaml"])
    (folder / "maskless" / "chair").mkdir()
    for view in ("front", "side"):
        Image.new("RGB", (64, 64)).save(folder / "maskless" / "chair" / f"{view}.png")
    (folder / "half").mkdir()
    (folder / "half" / "manifest.json").write_text('{"fingerprint": "x"')
    (folder / "gone").mkdir()
    record = {
        "fingerprint": "x",
        "samples": 2,
        "per_shard": 2,
        "shards": [{"name": "a.tar", "samples": 2, "sha256": "0"}],
        "azimuth_degrees": [0.0, 90.0],
        "source": {"generator": "car"},
    }
    (folder / "sourceless").mkdir()
    (folder / "sourceless" / "manifest.json").write_text(json.dumps({**record, "source": None}))
    (folder / "gone" / "manifest.json").write_text(json.dumps(record))
    (folder / "alien").mkdir()
    (folder / "alien" / "manifest.json").write_text(json.dumps({**record, "samples": 200}))
    with tarfile.open(folder / "alien" / "a.tar", "w"):
        pass
    return folder


def save_strangers(folder: Path) -> None:
    """An inverse network of horses, links to themselves, and pipes, which block whoever opens them."""
    for name in ("pipe.safetensors", "pipe.ckpt", "pipe.npy", "piped.json"):
        os.mkfifo(folder / name)
    (folder / "piped.safetensors").write_bytes(b"")
    (folder / "pipe.json").write_bytes((folder / "toy.json").read_bytes())
    for suffix in (".safetensors", ".json"):
        horse = (SHIPPED / f"inverse-car{suffix}").read_bytes().replace(b'"category": "car"', b'"category": "horse"')
        (folder / f"horse{suffix}").write_bytes(horse)
    for name in ("loop.png", "loop"):
        (folder / name).symlink_to(name)


@pytest.fixture(scope="module")
def taken_port() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


FIT = ["train", "fit", "--trainer.accelerator=cpu"]
INVERSE = [*FIT, "--model=InverseGraphics"]
STREAM = [*INVERSE, "--data=MultiViewStream"]
TOY = [*STREAM, "--data.generator={bad}/toy.safetensors"]
TUNE = [*FIT, "--model=Disentanglement", "--data=MultiViewStream", "--data.generator={bad}/toy.safetensors"]
GAN = [*FIT, "--model=ImageGAN", "--data=WorldImages", "--data.cache={out}/cars.npy"]
PREDICT = ["train", "predict", "--trainer.accelerator=cpu", "--model=DatasetGeneration", "--model.output={out}/shards"]
MAKE = [*PREDICT, "--data=MultiViewStream"]
GENERATE = [*MAKE, "--data.generator={bad}/toy.safetensors"]
SKY = ["reconstruct", "{bad}/sky.png", "-o", "{out}/a.glb"]
EDIT = ["edit", "{bad}/sky.png", "-o", "{out}/a.png"]
IMPORT = ["import-gan", "{bad}/toy.safetensors", "-o", "{out}/gan"]
CASES: dict[str, list[str]] = {
    # commands and flags
    "unknown command": ["fly"],
    "unknown subcommand": ["train", "fly"],
    "subcommand after flags": ["train", "--run=x", "fit"],
    "unknown flag": [*STREAM, "--color=red"],
    "unknown flag of a pipeline": ["train", "--color=red"],
    "misspelt flag": [*STREAM, "--model.ema_half_lif=3"],
    "flag without a value": [*STREAM, "--seed_everything"],
    "abbreviated flag": [*STREAM, "--seed=1"],
    "no model": [*FIT],
    "no data": [*INVERSE],
    "no data for StyleGAN-R": [*FIT, "--model=Disentanglement"],
    "no data for generation": PREDICT,
    # classes
    "unknown model": [*FIT, "--model=Teapot"],
    "unknown data": [*INVERSE, "--data=Teapots"],
    "a model that is none": [*FIT, "--model=MultiViewStream", "--data=MultiViewStream"],
    "data that are none": [*INVERSE, "--data=InverseGraphics"],
    "a module of the system": [*INVERSE, "--data=os.system"],
    "images for a multi-view model": [*INVERSE, "--data=WorldImages", "--data.cache={out}/cars.npy"],
    "unknown logger": [*STREAM, "--trainer.logger=Paper"],
    "unknown callback": [*STREAM, "--trainer.callbacks+=Dance"],
    # types and ranges
    "word for a number": [*STREAM, "--seed_everything=one"],
    "fraction for an integer": [*STREAM, "--model.images=1.5"],
    "word for a time": [*STREAM, "--checkpoint.train_time_interval=soon"],
    "unknown accelerator": [*STREAM, "--trainer.accelerator=abacus"],
    "unknown precision": [*STREAM, "--trainer.precision=8"],
    "unknown strategy": [*STREAM, "--trainer.strategy=chess"],
    "unknown masks": [*STREAM, "--data.masks=hand"],
    "unknown category": [*STREAM, "--data.category=dragon"],
    "unknown ellipsoid": [*STREAM, "--model.ellipsoid=guessed"],
    "no devices": [*STREAM, "--trainer.devices=0"],
    "word for devices": [*STREAM, "--trainer.devices=many"],
    "no images": [*STREAM, "--model.images=0"],
    "negative images": [*STREAM, "--model.images=-3"],
    "negative rate": [*STREAM, "--model.learning_rate=-1"],
    "negative half-life": [*STREAM, "--model.ema_half_life=-1"],
    "negative seed": [*STREAM, "--data.sampling.seed=-1"],
    "negative seed of everything": [*STREAM, "--seed_everything=-1"],
    "no resolution": [*STREAM, "--data.resolution=0"],
    "no channels": [*TOY, "--model.network.channels=[]"],
    "odd channels": [*TOY, "--model.network.channels=[8,9]"],
    "two axes": [*TOY, "--model.network.axes=[1,2]"],
    "never a picture": [*STREAM, "--samples.every_n_train_steps=-1"],
    "pictures of nothing": [*STREAM, "--samples.objects=0"],
    "gradients of no batch": [*TOY, "--trainer.accumulate_grad_batches=0"],
    "logs of less than no step": [*TOY, "--trainer.log_every_n_steps=-1"],
    "weights without a name": [*TOY, "--weights=/"],
    "weights of another kind": [*TOY, "--weights=weights.txt"],
    "weights outside the run": [*TOY, "--weights=../../up.safetensors"],
    "vast batch": [*TOY, "--data.batch_size=99999999"],
    "empty batch": [*TOY, "--data.batch_size=0"],
    "negative validation": [*TOY, "--data.validation_objects=-1"],
    "no views": [*TOY, "--data.sampling.views=0"],
    "too many views": [*TOY, "--data.sampling.views=99"],
    "no attempts": [*TOY, "--data.sampling.attempts=0"],
    "crooked world views": [*STREAM, "--data.generator=car-world", "--data.world_views=7"],
    "larger than the generator": [*TOY, "--data.resolution=64"],
    "zero objects": [*GENERATE, "--model.samples=0"],
    "zero per file": [*GENERATE, "--model.per_file=0"],
    "unknown format": [*GENERATE, "--model.format=zip"],
    "negative warm-up": [*TUNE, "--model.settings.warm_up_images=-1"],
    "no fine-tuning and no warm-up": [
        *TUNE,
        "--model.settings.warm_up_images=0",
        "--model.settings.fine_tune_images=0",
    ],
    "picture that is no power of two": [*TUNE, "--model.mapping.picture=33"],
    "world images of nothing": [*GAN, "--data.images=0"],
    "world images of no size": [*GAN, "--data.resolution=0"],
    "image GAN of no images": [*GAN, "--model.images=0"],
    "image GAN without a rate": [*GAN, "--model.learning_rate=0"],
    "not a number": [*STREAM, "--model.learning_rate=.nan"],
    "infinite weight": [*STREAM, "--model.losses.color=.inf"],
    "infinite half-life": [*STREAM, "--model.ema_half_life=.inf"],
    "negative jitter": [*TUNE, "--model.settings.camera_jitter=-1"],
    "negative weight of StyleGAN-R": [*TUNE, "--model.losses.view=-1"],
    "negative rate of found views": [*TUNE, "--model.settings.found_views.rate=-1"],
    "share above one": [*STREAM, "--model.camera_hold=1.5"],
    "image GAN of no stages": [*GAN, "--model.stages=[]"],
    "stage larger than the image GAN": [
        *GAN,
        "--model.stages=[{{resolution: 1024, images: 8, r1_gamma: 0.1, fade_images: 0}}]",
    ],
    "mixing with probability two": [*GAN, "--model.mixing_probability=2"],
    "perceptual loss of small images": [*TOY, "--data.resolution=16"],
    # configuration files
    "absent config": ["train", "fit", "--config={bad}/absent.yaml"],
    "config is a folder": ["train", "fit", "--config={bad}/none"],
    **{
        f"config: {name}": ["train", "fit", f"--config={{bad}}/{name}.yaml"]
        for name in ("text", "list", "broken", "unknown", "nested", "binary", "latin", "other", "type")
    },
    "absent pipeline": ["train", "--config={bad}/absent.yaml"],
    **{
        f"pipeline: {name}": ["train", f"--config={{bad}}/{name}.yaml"]
        for name in (
            *("text", "list", "broken", "binary", "latin", "stageless", "wordy-stage", "unknown-command"),
            *("outside", "itself", "settings", "dates", "two", "nul"),
        )
    },
    "pipeline in a loop of links": ["train", "--config={bad}/alone.yaml", "--run={bad}/loop"],
    "pipeline without a name": ["train", "--config"],
    "run without a name": ["train", "--run"],
    "pipeline with an alias": ["train", "--config={bad}/alias.yaml"],
    "pipeline with a key twice": ["train", "--config={bad}/twice.yaml"],
    "fit's config as a pipeline": ["train", "--config=configs/car/inverse.yaml"],
    # checkpoints
    "absent checkpoint": [*TOY, "--ckpt_path={bad}/absent.ckpt"],
    **{f"checkpoint: {name}": [*TOY, f"--ckpt_path={{bad}}/{name}.ckpt"] for name in CHECKPOINTS},
    **{
        f"weights in a checkpoint: {name}": [
            "reconstruct",
            "{bad}/sky.png",
            "-o",
            "{out}/a.glb",
            "--weights",
            f"{{bad}}/{name}.ckpt",
        ]
        for name in ("text", "weightless", "swollen", "wordy")
    },
    "checkpoint of text": [*TOY, "--ckpt_path={bad}/text.ckpt"],
    "checkpoint is a folder": [*TOY, "--ckpt_path={bad}/none"],
    # generators
    "absent generator": [*STREAM, "--data.generator={bad}/absent.safetensors"],
    "generator is a folder": [*STREAM, "--data.generator={bad}/none"],
    **{
        f"{kind} generator": [*MAKE, f"--data.generator={{bad}}/{kind}.safetensors"]
        for kind in ("cut", "changed", "cardless", "garbled", "listed", "foreign")
    },
    # view codes
    **{
        f"{kind} view codes": [*MAKE, f"--data.generator={{bad}}/{kind}.safetensors"]
        for kind in ("viewless", "nonsense", "unclosed", "empty-views", "strange")
    },
    "absent view codes": [*GENERATE, "--data.view_codes={bad}/absent.yaml"],
    # masks, shards, folders, networks to go on from
    "truth where there is none": [*GENERATE, "--data.masks=truth"],
    "absent segmenter": [*GENERATE, "--data.segmenter={bad}/absent.safetensors"],
    "generator for a segmenter": [*GENERATE, "--data.segmenter={bad}/toy.safetensors"],
    "renderer without a reader": [*TOY, "--data.renderer={bad}/toy.safetensors"],
    **{
        f"shards: {kind}": [*INVERSE, "--data=MultiViewShards", f"--data.folder={{bad}}/{kind}"]
        for kind in ("none", "absent", "half", "gone", "alien", "sourceless")
    },
    "shards nowhere": [*INVERSE, "--data=MultiViewShards"],
    **{
        f"folder: {kind}": [*INVERSE, "--data=MultiViewFolder", f"--data.folder={{bad}}/{kind}"]
        for kind in ("none", "absent", "views.yaml", "objectless", "maskless")
    },
    "absent inverse network": [*TUNE, "--model.inverse={bad}/absent.safetensors"],
    "generator for an inverse network": [*TUNE, "--model.inverse={bad}/toy.safetensors"],
    "inverse network of another GAN": TUNE,
    "image GAN on a pipe": [*FIT, "--model=ImageGAN", "--data=WorldImages", "--data.cache={bad}/pipe.npy"],
    "checkpoint is a pipe": [*TOY, "--ckpt_path={bad}/pipe.ckpt"],
    "generator is a pipe": [*MAKE, "--data.generator={bad}/pipe.safetensors"],
    "card is a pipe": [*SKY, "--weights={bad}/piped.safetensors"],
    "absent start": [*TOY, "--model.start={bad}/absent.safetensors"],
    "absent start of an image GAN": [*GAN, "--model.start={bad}/absent.safetensors"],
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
    "photo in a loop of links": ["reconstruct", "{bad}/loop.png", "-o", "{out}/a.glb"],
    "meshes somewhere else": ["reconstruct", "{bad}/sky.png", "-o", "{out}/a", "--format", "../b.glb"],
    "photo on no device": [*SKY, "--device=meta"],
    "mesh of an unknown kind": ["reconstruct", "{bad}/sky.png", "-o", "{out}/a.stl"],
    "absent weights": [*SKY, "--weights", "{bad}/absent.safetensors"],
    "weights of a generator": [*SKY, "--weights", "{bad}/toy.safetensors"],
    "views of an absent GAN": ["views", "{bad}/absent.safetensors"],
    "views replacing a word": ["views", "--replaces=nothing"],
    "views: unknown flag": ["views", "--color=red"],
    "views: no codes": ["views", "{bad}/toy.safetensors", "--azimuths=regressor", "--codes=0"],
    "views: no layers": ["views", "{bad}/toy.safetensors", "--azimuths=regressor", "--layers=0"],
    "views: a small pool": ["views", "{bad}/toy.safetensors", "--azimuths=auto", "--pool=1"],
    "views of another category": ["views", "{bad}/toy.safetensors"],
    "views without a segmenter": ["views", "{bad}/toy.safetensors", "--azimuths=auto"],
    "masks of an absent GAN": ["masks", "{bad}/absent.safetensors"],
    "masks: one picture": ["masks", "{bad}/toy.safetensors", "--pictures=1"],
    "masks: nothing labeled": ["masks", "{bad}/toy.safetensors", "--labeled=0"],
    "masks: no steps": ["masks", "{bad}/toy.safetensors", "--steps=-1"],
    "masks: a word for steps": ["masks", "{bad}/toy.safetensors", "--steps=many"],
    "edit without a photo": ["edit"],
    "edit of an absent photo": ["edit", "{bad}/absent.jpg", "-o", "{out}/a.png"],
    "edit to another kind of file": ["edit", "{bad}/sky.png", "-o", "{out}/a.jpg"],
    "edit of less than no steps": [*EDIT, "--steps=-1"],
    "edit with two sources of masks": [
        "edit",
        "{bad}/sky.png",
        "-o",
        "{out}/a.png",
        "--segmenter=car",
        "--mask-rcnn=car",
    ],
    "edit of a category without a segmenter": [*EDIT, "--inverse={bad}/horse.safetensors"],
    "edit with a generator": [*EDIT, "--weights", "{bad}/toy.safetensors"],
    "photo without an output": ["reconstruct", "{bad}/sky.png"],
    "photo on an unknown device": [*SKY, "--device=abacus"],
    "less than no refinement": [*SKY, "--refine=-1"],
    "photo with an absent mask": [*SKY, "--masks={bad}/absent.png"],
    "photo with an empty mask": [
        "reconstruct",
        "{bad}/sky.png",
        "-o",
        "{out}/a.glb",
        "--masks={bad}/maskless/chair/front.png",
    ],
    "photo with a segmenter that is none": [
        "reconstruct",
        "{bad}/sky.png",
        "-o",
        "{out}/a.glb",
        "--segmenter={bad}/toy.safetensors",
    ],
    "photo over itself": ["reconstruct", "{bad}/sky.png", "-o", "{bad}/sky.obj"],
    "evaluate on an unknown device": ["evaluate", "--device=abacus"],
    "evaluate negative refinement": ["evaluate", "--photographs.refine=-1"],
    "evaluate an infinite number": ["evaluate", "--batch=1e99"],
    "doctor with a word": ["doctor", "now"],
    "import of a nameless address": ["import-gan", "https://host/", "-o", "{out}/gan"],
    "import of an unknown protocol": ["import-gan", "ftp://host/gan.pkl", "-o", "{out}/gan"],
    "import without a folder": ["import-gan", "{bad}/text.png"],
    "import with a crooked crop": [*IMPORT, "--crop=wide"],
    "annotation of no layers": ["annotate", "{bad}/toy.safetensors", "--layers=99", "--port=0", "--no-browser"],
    "annotation of a small pool": ["annotate", "{bad}/toy.safetensors", "--pool=0", "--port=0", "--no-browser"],
    "annotation of a vast pool": ["annotate", "{bad}/toy.safetensors", "--pool=999999999", "--port=0", "--no-browser"],
    "views: a vast pool": ["views", "{bad}/toy.safetensors", "--azimuths=regressor", "--pool=999999999"],
    "masks: vastly many labeled": ["masks", "{bad}/toy.safetensors", "--labeled=999999999"],
    "studio of vastly many objects": ["studio", "--objects=999999999", "--port=0", "--no-browser"],
    "studio of no objects": ["studio", "--objects=0", "--port=0", "--no-browser"],
    "studio of a run that is none": ["studio", "--run={bad}/none", "--port=0", "--no-browser"],
    # places and ports
    "run below a file": [*TOY, "--trainer.default_root_dir={bad}/text.png/run"],
    "run is a file": [*TOY, "--trainer.default_root_dir={bad}/text.png"],
    "run where nothing can be": [*TOY, "--trainer.default_root_dir=/proc/nowhere"],
    "samples below a file": [*GENERATE, "--model.output={bad}/text.png/shards"],
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
    assert len(CASES) >= 200


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
    if given[1:2] in (["fit"], ["predict"]) and not any("default_root_dir" in argument for argument in given):
        given.append(f"--trainer.default_root_dir={tmp_path / 'run'}")
    with bounded():
        assert cli.main(given) == cli.BAD_INPUT
    complaint = capsys.readouterr().err
    said = [line for line in complaint.splitlines() if line.startswith("ganverse: ")]
    assert len(said) == 1, complaint
    assert complaint.splitlines()[-1] == said[0], "the sentence comes last and is one line"
    assert "Traceback" not in complaint
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [], "nothing is half-written"
