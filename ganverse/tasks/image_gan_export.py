"""What a GAN's training hands on: the averaged generator with its card, and its whole state to continue from."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from ganverse.errors import GanverseError
from ganverse.generators.weights import GeneratorCard, save_generator
from ganverse.io import pack_tensors, write_atomically
from ganverse.tasks.image_gan import ImageGANTask


@dataclass(frozen=True)
class Provenance:
    """What the card of an export says about its training."""

    trained_on: str = "procedural car world of ganverse, 64 px"
    license: str = "Apache-2.0"
    notes: str = ""


def write_export(folder: Path, task: ImageGANTask, provenance: Provenance) -> GeneratorCard:
    """Writes the averaged generator with its card, and `state.safetensors`: all but the optimizers. Both float16."""
    card = GeneratorCard(
        config=task.generator.config,
        license=provenance.license,
        trained_on=provenance.trained_on,
        seed=task.settings.seed,
        images_seen=int(task.images_seen),
        notes=provenance.notes,
    )
    written = save_generator(task.generator_average, folder / "generator.safetensors", card, half=True)
    write_atomically(folder / "state.safetensors", pack_tensors(dict(task.state_dict()), half=True))
    return written


def restore_export(path: Path, task: ImageGANTask) -> None:
    """Loads the weights and the image counter of `state.safetensors`; the optimizers start afresh."""
    if not path.is_file():
        raise GanverseError(f"Expected an exported training state at {path}, found none; give another path.")
    weights = load_file(path)
    task.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})


def restore_checkpoint(path: Path, task: ImageGANTask) -> None:
    """Loads the weights and the image counter of a `last.ckpt`, to export what a running training has reached."""
    if not path.is_file():
        raise GanverseError(f"Expected a checkpoint at {path}, found none; give another path.")
    task.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
