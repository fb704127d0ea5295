"""From the tensor names of a file to those of our networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.stylegan1 import StyleGAN1Config
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config

Change = Callable[[Tensor], Tensor]
Tensors = Mapping[str, Tensor]
Table = dict[str, tuple[str, Change]]
"""Name in our network -> name in the file, and how the tensor is laid out anew."""


@dataclass(frozen=True)
class Imported:
    """A generator as a file describes it: `weights` under the names of our network that `config` makes.

    family: what wrote the file. license: what is known about the license of such weights. `weights` may lack the
    average of w and the noise planes, which not every family keeps.
    """

    family: str
    config: PaperStyleGAN2Config | StyleGAN1Config
    weights: dict[str, Tensor]
    license: str


def same(tensor: Tensor) -> Tensor:
    """As it is."""
    return tensor


def batched(tensor: Tensor) -> Tensor:
    """[C, H, W] to [1, C, H, W]."""
    return tensor[None]


def plane(tensor: Tensor) -> Tensor:
    """[H, W] to [1, 1, H, W]."""
    return tensor[None, None]


def convert(tensors: Tensors, table: Table, ignored: Iterable[str] = ()) -> dict[str, Tensor]:
    """float32 tensors under our names.

    Raises:
        GanverseError: a tensor is missing, or one is left over that is neither in the table nor `ignored`.
    """
    sources = {source for source, _ in table.values()}
    for missing in sorted(sources - tensors.keys()):
        raise GanverseError(f"no tensor {missing!r}")
    for odd in sorted(tensors.keys() - sources - set(ignored)):
        raise GanverseError(f"the tensor {odd[:80]!r}, which such a generator does not have")
    return {name: _changed(tensors[source], source, change) for name, (source, change) in table.items()}


def _changed(tensor: Tensor, source: str, change: Change) -> Tensor:
    try:
        return change(tensor).to(torch.float32).contiguous()
    except (IndexError, RuntimeError) as error:
        raise GanverseError(f"{source!r} of shape {list(tensor.shape)}") from error


def count_while(exists: Callable[[int], bool]) -> int:
    """How many of 0, 1, 2 ... exist in a row."""
    count = 0
    while exists(count):
        count += 1
    return count


def sizes(tensors: Tensors, name: str, rank: int) -> tuple[int, ...]:
    """The shape of a tensor that an architecture is read from.

    Raises:
        GanverseError: there is no such tensor, or it has another number of axes.
    """
    if name not in tensors:
        raise GanverseError(f"no tensor {name!r}")
    shape = tuple(tensors[name].shape)
    if len(shape) != rank or 0 in shape:
        raise GanverseError(f"{name!r} of shape {list(shape)}")
    return shape


def check_filters(tensors: Tensors, ending: str) -> list[str]:
    """Names of the stored low-pass filters, which must all be [1, 3, 3, 1], whatever their gain."""
    names = [name for name in tensors if name.endswith(ending)]
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    for name in names:
        stored = tensors[name].float()
        if stored.shape != (4, 4) or not torch.allclose(stored / stored.sum(), torch.outer(row, row), atol=1e-6):
            raise GanverseError(f"the filter {name!r}, which is not [1, 3, 3, 1]")
    return names


def check_settings(found: Mapping[str, Any], expected: Mapping[str, Any], known: Iterable[str] = ()) -> None:
    """Settings that change the function must be the usual ones.

    `expected` holds the values of those; `known` are settings that are read elsewhere or change nothing.

    Raises:
        GanverseError: another value, or a setting that is not known.
    """
    for name, value in found.items():
        if name in expected:
            if _plain(value) != expected[name]:
                raise GanverseError(f"the setting {name}={_plain(value)!r:.40}, only {expected[name]!r} can be read")
        elif name not in known:
            raise GanverseError(f"the setting {str(name)[:40]!r}, whose meaning is not known")


def _plain(value: Any) -> Any:
    """Numbers, words and lists of them; of anything else only the type, because its depth is not known."""
    if isinstance(value, (list, tuple)) and all(isinstance(item, (str, int, float)) for item in value):
        return list(value)
    return value if isinstance(value, (str, int, float, type(None))) else type(value).__name__
