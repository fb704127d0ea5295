"""Converts a file's tensors to our weights: rules for names and layouts, and settings inferred from shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.layers import BINOMIAL, normalize_second_moment
from ganverse.generators.style_based import StyleBasedConfig
from ganverse.generators.stylegan1 import StyleGAN1Config
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Imported:
    """A generator from a file: `weights` named as in the network that `config` builds.

    family: the file format. license: what is known about the license of such weights. `weights` may lack the average of
    w and the noise planes, which some formats omit. classes: number of classes, for conditional generators.
    """

    family: str
    config: StyleBasedConfig
    weights: dict[str, Tensor]
    license: str
    classes: int | None = None


@dataclass(frozen=True)
class Rule:
    """A tensor whose name matches `pattern` becomes `ours`, with its layout converted by `change`.

    ours: a template for `re.Match.expand`, a function of the match, or None for a known constant, which `change` only
    checks.
    """

    pattern: str
    ours: str | Callable[[re.Match[str]], str] | None
    change: Callable[[Tensor], Tensor] = lambda tensor: tensor


def convert(tensors: Tensors, rules: Iterable[Rule]) -> dict[str, Tensor]:
    """float32 tensors under our names.

    Raises:
        GanverseError: a tensor without a rule or with another rank, or two tensors for one name.
    """
    weights: dict[str, Tensor] = {}
    for theirs, tensor in tensors.items():
        ours, change = _place(theirs, rules)
        try:
            changed = change(tensor)
        except (IndexError, RuntimeError) as error:
            raise GanverseError(f"{theirs!r} of shape {list(tensor.shape)}") from error
        if ours in weights:
            raise GanverseError(f"the tensor {theirs[:80]!r} twice")
        if ours is not None:
            weights[ours] = changed.to(torch.float32).contiguous()
    return weights


def _place(theirs: str, rules: Iterable[Rule]) -> tuple[str | None, Callable[[Tensor], Tensor]]:
    for rule in rules:
        match = re.fullmatch(rule.pattern, theirs)
        if match is not None:
            ours = match.expand(rule.ours) if isinstance(rule.ours, str) else rule.ours and rule.ours(match)
            return ours, rule.change
    raise GanverseError(f"the tensor {theirs[:80]!r}, which such a generator does not have")


def level(side: str) -> int:
    """Block index of a resolution: 0 for 4 px, 1 for 8 px, ..."""
    number = int(side)
    if number < 4 or number & (number - 1):
        raise GanverseError(f"a resolution of {number} px, not one of 4, 8, 16, ...")
    return number.bit_length() - 3


def low_pass(tensor: Tensor, taps: tuple[float, ...] = BINOMIAL) -> Tensor:
    """Checks that a stored filter has `taps` (default: StyleGAN2's) on both axes, with any gain."""
    row = torch.tensor(taps) / sum(taps)
    stored = tensor.float().squeeze()
    if stored.shape != (len(taps), len(taps)) or not torch.allclose(stored / stored.sum(), row.outer(row), atol=1e-6):
        raise GanverseError(f"a filter that is not {[int(tap) for tap in taps]}")
    return tensor


def average_of(tensor: Tensor) -> Tensor:
    """Average of w from [w_dim], [1, w_dim], or [layers, w_dim] with equal rows.

    Raises:
        GanverseError: another shape, or unequal rows.
    """
    rows = tensor.reshape(-1, tensor.shape[-1]) if 1 <= tensor.dim() <= 2 and tensor.numel() else None
    if rows is None or not torch.equal(rows, rows[:1].expand_as(rows)):
        raise GanverseError(f"an average of w of shape {list(tensor.shape)} that is not the same for all layers")
    return rows[0]


def stylegan2_config(weights: Tensors, **settings: Any) -> PaperStyleGAN2Config:
    """Architecture of a StyleGAN2 with these weights; GanverseError if there is none."""
    return PaperStyleGAN2Config(**_shared(weights, "blocks.{}.conv1.weight"), **settings)


def stylegan1_config(weights: Tensors) -> StyleGAN1Config:
    """Architecture of a StyleGAN1 with these weights; GanverseError if there is none."""
    return StyleGAN1Config(**_shared(weights, "blocks.{}.conv"))


def _shared(weights: Tensors, convolution: str) -> dict[str, Any]:
    levels = count_while(lambda k: convolution.format(k) in weights)
    height, width = sizes(weights, "start", 4)[2:]
    if (height, width) != (4, 4):
        raise GanverseError(f"a generator whose images are not square: they grow from {width} x {height} pixels")
    return {
        **mapping_sizes(weights),
        "resolution": 4 << max(levels - 1, 0),
        "channels": tuple(sizes(weights, convolution.format(k), 4)[0] for k in range(levels)),
    }


def mapping_sizes(weights: Tensors) -> dict[str, Any]:
    """z_dim, w_dim and number of layers of a mapping network."""
    w_dim, z_dim = sizes(weights, "mapping.layers.0.weight", 2)
    layers = count_while(lambda i: f"mapping.layers.{i}.weight" in weights)
    return {"z_dim": z_dim, "w_dim": w_dim, "mapping_layers": layers}


def count_while(exists: Callable[[int], bool]) -> int:
    """Number of consecutive integers from 0 that exist."""
    count = 0
    while exists(count):
        count += 1
    return count


def sizes(weights: Tensors, name: str, rank: int) -> tuple[int, ...]:
    """Shape of a tensor.

    Raises:
        GanverseError: the tensor is missing or has another rank.
    """
    if name not in weights:
        raise GanverseError(f"no tensor for {name!r}")
    shape = tuple(weights[name].shape)
    if len(shape) != rank or 0 in shape:
        raise GanverseError(f"a tensor of shape {list(shape)} for {name!r}")
    return shape


def fix_class(weights: dict[str, Tensor], index: int | None) -> int | None:
    """Specializes a conditional mapping network to one class, in place; returns the number of classes, if any.

    The first layer takes (z, y), both normalized. The embedded label y is constant for a class, so its product with the
    weights is added to the bias. The average of w over all classes is dropped.

    Raises:
        GanverseError: a conditional generator without a class index, or no such class.
    """
    if "embed.weight" not in weights:
        return None
    embedded, classes = sizes(weights, "embed.weight", 2)
    if index is None or not 0 <= index < classes:
        raise GanverseError(f"a conditional generator; choose a class with --class-index 0 ... {classes - 1}")
    label = weights.pop("embed.weight")[:, index] / classes**0.5
    if sizes(weights, "embed.bias", 1) != (embedded,):
        raise GanverseError("an embedding of classes without its bias")
    y = normalize_second_moment(label + weights.pop("embed.bias"))
    w_dim, inputs = sizes(weights, "mapping.layers.0.weight", 2)
    if inputs <= embedded or sizes(weights, "mapping.layers.0.bias", 1) != (w_dim,):
        raise GanverseError("an embedding of classes that does not fit the first layer")
    z_weight, y_weight = weights["mapping.layers.0.weight"].split([inputs - embedded, embedded], dim=1)
    # the layer divides by the square root of its number of inputs, which is smaller now
    weights["mapping.layers.0.weight"] = z_weight * ((inputs - embedded) / inputs) ** 0.5
    weights["mapping.layers.0.bias"] = weights["mapping.layers.0.bias"] + y_weight @ y / inputs**0.5
    weights.pop("w_average", None)
    return classes


def check_settings(found: Mapping[str, Any], expected: Mapping[str, Any], known: str) -> None:
    """Checks that settings that change the function have their usual values.

    expected: those values. known: space-separated names that are read elsewhere or have no effect.

    Raises:
        GanverseError: another value, or an unknown setting.
    """
    for name, value in found.items():
        if name in expected:
            if _plain(value) != expected[name]:
                raise GanverseError(f"the setting {name}={_plain(value)!r:.40}, only {expected[name]!r} can be read")
        elif name not in known.split():
            raise GanverseError(f"the unknown setting {str(name)[:40]!r}")


def _plain(value: Any) -> Any:
    """Numbers, strings and short lists of them; only the type of anything else, whose depth is unknown."""
    plain = (str, int, float, type(None))
    if isinstance(value, (list, tuple)) and len(value) < 20 and all(isinstance(item, plain) for item in value):
        return list(value)
    return value if isinstance(value, plain) else type(value).__name__


def named(value: Any, what: str) -> dict[str, Any]:
    """A mapping with string keys; GanverseError for anything else."""
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise GanverseError(f"an object of type {type(value).__name__} in place of a mapping ({what})")
    return value


def positive(settings: Mapping[str, Any], name: str) -> float | None:
    """A setting that is a positive number or None (also if missing); GanverseError for anything else."""
    value = settings.get(name)
    if value is not None and not (type(value) in (int, float) and 0 < value < float("inf")):
        raise GanverseError(f"a setting {name} that is not a positive number")
    return None if value is None else float(value)
