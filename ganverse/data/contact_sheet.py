"""One picture of many samples and their masks: what generation kept and what it dropped, at a glance."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor


def contact_sheet(
    images: Float[Tensor, "n 3 height width"], masks: Float[Tensor, "n 1 height width"], *, columns: int = 16
) -> Float[Tensor, "3 sheet_height sheet_width"]:
    """Rows of images, each row followed by the same images with the background dimmed; missing places are black. In [0, 1]."""
    count, _, height, width = images.shape
    rows = max(1, -(-count // columns))
    padding = (0, 0, 0, 0, 0, 0, 0, rows * columns - count)
    pairs = torch.stack([images, images * (0.2 + 0.8 * masks)]).cpu()
    cells = F.pad(pairs, padding).view(2, rows, columns, 3, height, width)
    return cells.permute(3, 1, 0, 4, 2, 5).reshape(3, rows * 2 * height, columns * width)


def stack_pictures(paths: list[Path], path: Path) -> None:
    """Picture files of one width below each other."""
    pictures = []
    for source in paths:
        with Image.open(source) as image:
            pictures.append(image.convert("RGB"))
    stacked = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)))
    top = 0
    for picture in pictures:
        stacked.paste(picture, (0, top))
        top += picture.height
    stacked.save(path)
