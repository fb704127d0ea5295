"""Stage `generate`: multi-view samples as shards on disk, and a picture of the view codes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from ganverse.data.painted_samples import RECORD, write_samples
from ganverse.data.shards import ShardPlan, finished_counts
from ganverse.data.sources import DataSettings, Source, make_sampler, open_pictures, open_source, picture_sampler
from ganverse.io import image_grid, save_image
from ganverse.pipeline.run_directory import StageFolder
from ganverse.random_streams import latents
from ganverse.tasks.generation import GenerationTask
from ganverse.training.devices import TrainerSettings
from ganverse.training.diagnostics import memory_explained
from ganverse.training.fit import build_trainer
from ganverse.training.media import save, show
from ganverse.training.overview import drop_chart
from ganverse.training.progress import ShardProgress
from ganverse.training.stopping import Interrupted, Interruption
from ganverse.training.weights_and_biases import Dashboard
from ganverse.viewpoints.view_codes import mix_styles, view_styles

STAGE = "generate"
SHARDS = "shards"
_CONTENT_SEED = 7


@dataclass(frozen=True)
class GenerateRun:
    """The dataset-generation stage, for people who want files; training can as well make its samples in memory.

    run: run directory; this stage writes below RUN/generate.
    samples: objects to write (paper: 6000 cars, 1000 horses, 1000 birds).
    per_shard: objects per file, held in memory at once; an interrupted run loses at most one file.
    contents: rows of the picture of the view codes.
    """

    run: Path = Path("runs/car")
    samples: int = 6000
    per_shard: int = 128
    contents: int = 6
    data: DataSettings = field(default_factory=DataSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)


def generate(config: GenerateRun) -> bool:
    """Runs or continues the stage; False if it was interrupted.

    With a mask folder that holds no pictures yet, writes these instead, and that is all.
    """
    if config.data.mask_folder is not None and not (config.data.mask_folder / RECORD).is_file():
        write_pictures_to_paint(config, config.data.mask_folder)
        return True
    folder = StageFolder(config.run / STAGE)
    source = open_source(config.data)
    samples = config.samples if source.painted is None else min(config.samples, len(source.painted.kept))
    task = GenerationTask(make_sampler(source, config.data), folder.path / SHARDS, samples, config.per_shard)
    folder.begin(config, source.fingerprints)
    if folder.finished:
        return True
    plan = task.plan
    progress = ShardProgress(STAGE, plan.shards, lambda: finished_shards(plan), config.trainer.progress)
    interruption = Interruption()
    trainer = build_trainer(config.trainer, [progress, interruption], [])
    if trainer.is_global_zero:
        save_image(view_table(source, config.contents), folder.path / "samples" / "views.png")
    try:
        with memory_explained():
            trainer.predict(task, return_predictions=False)
    except Interrupted:
        interruption.settle()
        return False
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        show_samples(folder, config)
        folder.finish({"samples": samples, "generator": source.name, "views": len(source.codes)})
    folder.wait()
    return True


def write_pictures_to_paint(config: GenerateRun, folder: Path) -> None:
    """The pictures of `config.samples` samples, and what is to be done with them."""
    write_samples(picture_sampler(open_pictures(config.data), config.data), folder, config.samples)
    Console(stderr=True).print(
        f"{config.samples} samples of {config.data.sampling.views} pictures in {folder}: put a mask beside each, "
        "000000-0-mask.png for 000000-0.png and so on, white on the object and black elsewhere, then call the same "
        "command again",
        highlight=False,
        soft_wrap=True,
    )


def finished_shards(plan: ShardPlan) -> int:
    """How many shards lie on disk."""
    return sum(plan.record(shard) is not None for shard in range(plan.shards))


def show_samples(folder: StageFolder, config: GenerateRun) -> None:
    """What was made and what was dropped, as pictures in samples/ and, if asked for, in W&B."""
    shards = folder.path / SHARDS
    counts = finished_counts(shards)
    files = {"dropped-reasons": save(drop_chart(counts), folder.path / "samples" / "dropped-reasons")}
    files |= {name: shards / f"{name}.png" for name in ("kept", "dropped") if (shards / f"{name}.png").is_file()}
    if config.trainer.logger == "wandb":
        board = Dashboard(folder.path, lambda: counts.images)
        board.log_metrics({f"samples/{name}": count for name, count in asdict(counts).items()})
        show({"views": folder.path / "samples" / "views.png", **files}, [board])
        board.finalize("success")


@torch.no_grad()
def view_table(source: Source, contents: int) -> Float[Tensor, "3 height width"]:
    """Rows: objects. Columns: view codes by azimuth. In [0, 1]."""
    generator, codes = source.generator, source.codes
    order = codes.azimuth_degrees.argsort(stable=True)
    views = view_styles(generator, codes)[order]
    styles = generator.styles(generator.map(latents(_CONTENT_SEED, range(contents), generator.z_dim)))
    rows = [
        generator.synthesize(mix_styles(content.expand(len(views), -1), views, codes.view_dims)) for content in styles
    ]
    return image_grid(torch.cat(rows), len(views), zoom=max(1, 64 // generator.resolution))
