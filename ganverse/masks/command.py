"""`ganverse masks`: a segmenter for any GAN from a handful of painted pictures."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from ganverse.data.contact_sheet import contact_sheet
from ganverse.data.sources import generator_path, segmenter_beside
from ganverse.errors import GanverseError
from ganverse.generators.framing import framed
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.weights import load_generator
from ganverse.io import save_image
from ganverse.masks.learning import Learned, LearningSettings, learn_segmenter, mixed_styles, working_side
from ganverse.masks.painted import mask_path, painted_numbers, read_masks, write_pictures
from ganverse.pretrained import save_network

FEWEST = 2
_CHECKED = 16


def masks_command(arguments: Sequence[str]) -> Path | None:
    """`ganverse masks GENERATOR`; the segmenter, or None as long as there is still something to paint.

    Raises:
        GanverseError: weights or painted masks that cannot be read.
    """
    given = _parser().parse_args(list(arguments))
    path = generator_path(given.generator)
    network, card = load_generator(path)
    generator = framed(network)
    settings = _settings(given.labeled, given.steps)
    folder = given.folder or path.with_name(f"{path.stem}-masks")
    say = partial(Console(stderr=True).print, highlight=False, soft_wrap=True, markup=False)
    numbers = painted_numbers(folder, given.pictures)
    if len(numbers) < FEWEST:
        with torch.no_grad():
            styles = mixed_styles(generator, settings.paint_seed, range(given.pictures))
            write_pictures(torch.cat([generator.synthesize(row) for row in styles.split(1)]), folder)
        say(
            f"{given.pictures} pictures in {folder}: paint the objects white and everything else black, save each as "
            f"{mask_path(folder, 0).name}, {mask_path(folder, 1).name}, ... beside its picture (five to sixteen are "
            "enough), then call the same command again"
        )
        return None
    output = given.output or segmenter_beside(path)
    masks = read_masks(folder, numbers, working_side(generator))
    say(f"learning from {len(numbers)} painted pictures of {folder}")
    learned = learn_segmenter(generator, numbers, masks, settings)
    _save(learned, output, f"{len(numbers)} painted pictures of {path.stem} ({card.sha256[:12]})", settings)
    _picture(learned, generator, output.with_suffix(".png"))
    say(f"{output}: IoU {learned.left_out_iou:.3f} on painted pictures left out of the learning")
    say(f"look at {output.with_suffix('.png')}; paint more pictures and call again if the outlines are wrong")
    return output


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="ganverse masks",
        description="Called once: writes pictures to paint masks for. Called again: learns to cut the objects out.",
    )
    parser.add_argument("generator", nargs="?", default="car", help='.safetensors file of a GAN, or "car"')
    parser.add_argument("--folder", type=Path, help="of the pictures and their masks (NAME-masks beside the weights)")
    parser.add_argument("-o", "--output", type=Path, help="the segmenter (NAME-segmenter.safetensors)")
    parser.add_argument("--pictures", type=int, default=16, help="how many to paint at most (%(default)s)")
    parser.add_argument("--labeled", type=int, default=256, help="further pictures to learn from (%(default)s)")
    parser.add_argument("--steps", type=int, default=150, help="of the segmenter's training (%(default)s)")
    return parser


def _settings(labeled: int, steps: int) -> LearningSettings:
    if labeled < FEWEST or steps < 1:
        raise GanverseError(f"expected --labeled of {FEWEST} or more and --steps of 1 or more, got {labeled}, {steps}")
    settings = LearningSettings(labeled=labeled)
    return replace(settings, learning=replace(settings.learning, steps=steps))


def _save(learned: Learned, output: Path, trained_on: str, settings: LearningSettings) -> None:
    facts: dict[str, str | int | float] = {
        "network": "SegmenterNetwork",
        "trained_on": trained_on,
        "license": "that of the generator",
        "working_size": learned.segmenter.working_size,
        "labeled": settings.labeled,
        "steps": settings.learning.steps,
        "left_out_iou": round(learned.left_out_iou, 4),
        "agreement_with_classifier": round(learned.agreement, 4),
    }
    save_network(learned.segmenter.network, output, facts)


@torch.no_grad()
def _picture(learned: Learned, generator: ImageGenerator, path: Path) -> None:
    """A contact sheet of pictures that nobody has painted, with the background dimmed."""
    styles = mixed_styles(generator, LearningSettings().label_seed + 1, range(_CHECKED))
    images = torch.cat([generator.synthesize(row) for row in styles.split(1)])
    save_image(contact_sheet(images, learned.segmenter(images), columns=8), path)
