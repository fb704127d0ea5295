"""What a GAN knows about every pixel: the features of its synthesis blocks, brought to one size.

DatasetGAN (Zhang et al., CVPR 2021) found that these features tell the parts of an object apart so clearly that a
handful of painted pictures is enough to train a classifier on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.generators.directed import SubspaceGenerator
from ganverse.generators.framing import LetterboxGenerator
from ganverse.generators.protocol import ImageGenerator


def plain_generator(generator: ImageGenerator) -> nn.Module:
    """The network with `blocks` inside `generator`, whatever stands around it.

    Raises:
        GanverseError: there is none, as in the car world, which renders.
    """
    inside: object = generator
    while isinstance(inside, (SubspaceGenerator, LetterboxGenerator)):
        inside = inside.generator
    if not isinstance(inside, nn.Module) or not isinstance(getattr(inside, "blocks", None), nn.ModuleList):
        raise GanverseError(f"expected a StyleGAN, whose features tell objects from background, got {generator!r}")
    return inside


@torch.no_grad()
def pictures_and_features(
    generator: ImageGenerator, styles: Float[Tensor, "batch styles"], side: int
) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch channels side side"]]:
    """Images in [0, 1] of w*, and the features of all blocks of their whole square, resampled to `side` pixels."""
    with _listening(plain_generator(generator)) as heard:
        images = generator.synthesize(styles)
    resized = [F.interpolate(x.float(), (side, side), mode="bilinear", align_corners=False) for x in heard]
    return images, torch.cat(resized, dim=1)


@contextmanager
def _listening(network: nn.Module) -> Iterator[list[Tensor]]:
    """What every block returns while the block of code runs, lowest resolution first."""
    heard: list[Tensor] = []

    def hear(_: nn.Module, __: Any, output: Any) -> None:
        heard.append(output[0] if isinstance(output, tuple) else output)

    blocks = network.get_submodule("blocks")
    handles = [block.register_forward_hook(hear) for block in blocks.children()]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()
