"""What a GAN in training leaves on disk: full checkpoints to resume from and small exports to carry elsewhere."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
from safetensors.torch import load_file
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.weights import GeneratorCard, pack_tensors, save_generator, write_atomically
from ganverse.tasks.image_gan import ImageGANTask


@dataclass(frozen=True)
class Provenance:
    """What the card of an export says about its training."""

    trained_on: str
    licence: str
    notes: str = ""


class GANSnapshots(pl.Callback):
    """Every `minutes`: `checkpoints/last.ckpt` (everything), `export/generator.safetensors` + card, `export/state.safetensors`.

    The export is float16 and holds no optimiser state; `restore_export` continues from it approximately.
    """

    def __init__(self, run: Path, provenance: Provenance, minutes: float = 10.0) -> None:
        self._run = run
        self._provenance = provenance
        self._seconds = 60.0 * minutes
        self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Tensor, batch_idx: int
    ) -> None:
        """Writes a snapshot when it is time."""
        if time.monotonic() - self._last >= self._seconds:
            self.write(trainer, pl_module)

    def write(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Writes checkpoint and export, each file atomically."""
        assert isinstance(task, ImageGANTask)
        path = self._run / "checkpoints" / "last.ckpt"
        temporary = path.with_name(".last.ckpt")
        trainer.save_checkpoint(temporary)
        os.replace(temporary, path)
        write_export(self._run / "export", task, self._provenance)
        self._last = time.monotonic()


def write_export(folder: Path, task: ImageGANTask, provenance: Provenance) -> None:
    """Averaged generator with its card, and the whole task's weights, as float16."""
    card = GeneratorCard(
        config=task.generator.config,
        licence=provenance.licence,
        trained_on=provenance.trained_on,
        seed=task.settings.seed,
        images_seen=int(task.images_seen),
        notes=provenance.notes,
    )
    save_generator(task.generator_average, folder / "generator.safetensors", card, half=True)
    write_atomically(folder / "state.safetensors", pack_tensors(dict(task.state_dict()), half=True))


def restore_export(path: Path, task: ImageGANTask) -> None:
    """Loads the weights and the image counter of `state.safetensors`; the optimisers start afresh."""
    if not path.is_file():
        raise GanverseError(
            f"Expected an exported training state at {path}, found none; give --init_from another path."
        )
    weights = load_file(path)
    task.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
