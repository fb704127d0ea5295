"""A small U-Net that cuts the object out: the learned masks where Mask R-CNN cannot be had (64 px, CPU, offline)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.pretrained import SHIPPED, load_network, read_facts

CAR_WEIGHTS = SHIPPED / "segmenter-car.safetensors"
WORKING_SIZE = 64
_STRIDE = 16


def _conv_block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SegmenterNetwork(nn.Module):
    """Image to foreground logit, both at the same size (height and width multiples of 16).

    Works on 2x2 pixel blocks (cheap at full resolution), goes down three times, comes back up with skip connections,
    and sharpens the outline once more beside the original pixels.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (20, 36, 56, 72)) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.PixelUnshuffle(2), _conv_block(12, widths[0]))
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Sequential(_conv_block(a, b), _conv_block(b, b)) for a, b in pairs)
        self.up = nn.ModuleList(_conv_block(a + b, a) for a, b in reversed(pairs))
        self.leave = nn.Sequential(nn.Conv2d(widths[0], 16, 3, padding=1), nn.PixelShuffle(2))
        self.sharpen = nn.Sequential(_conv_block(7, 12), nn.Conv2d(12, 1, 3, padding=1))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 height width"]:
        """images in [0, 1]; positive logits are foreground."""
        centered = (images - 0.5) * 4
        features = [self.enter(centered)]
        for down in self.down:
            features.append(down(F.max_pool2d(features[-1], 2)))
        x = features.pop()
        for up in self.up:
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), features.pop()], dim=1))
        coarse = self.leave(x)
        logits: Tensor = coarse[:, :1] + self.sharpen(torch.cat([centered, coarse], dim=1))
        return logits


class Segmenter(nn.Module):
    """Foreground probability of images of any size; the network itself sees about `WORKING_SIZE` pixels a side."""

    def __init__(self, network: SegmenterNetwork | None = None, working_size: int = WORKING_SIZE) -> None:
        super().__init__()
        self.network = network or SegmenterNetwork()
        self.working_size = working_size
        self.sha256 = ""

    @classmethod
    def car(cls) -> Segmenter:
        """The shipped one, trained on the car world; frozen, in evaluation mode."""
        return cls.load(CAR_WEIGHTS)

    @classmethod
    def load(cls, path: Path) -> Segmenter:
        """One of ours (`ganverse masks`), frozen, in evaluation mode; GanverseError if the file is none."""
        facts = read_facts(path, "SegmenterNetwork", key="network")
        segmenter = cls(working_size=int(facts.get("working_size", WORKING_SIZE)))
        segmenter.sha256 = load_network(segmenter.network, path)
        return segmenter.eval()

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 height width"]:
        """images in [0, 1], at least 16 pixels a side, to probabilities in [0, 1]."""
        height, width = images.shape[2:]
        scale = self.working_size / min(height, width)
        working = [max(_STRIDE, round(side * scale / _STRIDE) * _STRIDE) for side in (height, width)]
        if working == [height, width]:
            return self.network(images).sigmoid()
        small = F.interpolate(images, working, mode="bilinear", align_corners=False, antialias=True)
        logits = F.interpolate(self.network(small), (height, width), mode="bilinear", align_corners=False)
        return logits.sigmoid()
