"""StyleGAN2 in the checkpoints of rosinality's stylegan2-pytorch, converted (g_ema, latent_avg) or from training."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config
from ganverse.importing.conversion import (
    Imported,
    Table,
    check_filters,
    convert,
    count_while,
    same,
    sizes,
)
from ganverse.importing.tensors import TensorReader

LICENSE = (
    "rosinality's file format (code MIT); weights that were converted from NVIDIA's stay under its non-commercial "
    "Source Code License, others under the license of those who trained them"
)


def reads(value: Any) -> bool:
    """Whether this is the content of such a checkpoint."""
    return isinstance(value, dict) and "g_ema" in value


def read(value: Any, reader: TensorReader) -> Imported:
    """The generator `g_ema`, with the average of w where the file has it; everything else in the file is left alone.

    Raises:
        GanverseError: it is not a whole StyleGAN2.
    """
    named = value["g_ema"]
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named) or len(named) > 2000:
        raise GanverseError("a g_ema that is no state dict")
    tensors = {name: reader.tensor(record) for name, record in named.items()}
    config = _config(tensors)
    table = _table(config)
    if value.get("latent_avg") is not None:
        tensors["latent_avg"] = reader.tensor(value["latent_avg"])
        table["w_average"] = ("latent_avg", same)
    weights = convert(tensors, table, check_filters(tensors, ".kernel"))
    return Imported("StyleGAN2, PyTorch, rosinality's checkpoint", config, weights, LICENSE)


def _config(tensors: dict[str, Tensor]) -> PaperStyleGAN2Config:
    levels = 1 + count_while(lambda k: f"convs.{2 * k}.conv.weight" in tensors)
    last = ["conv1", *(f"convs.{2 * k + 1}" for k in range(levels - 1))]
    w_dim, z_dim = sizes(tensors, "style.1.weight", 2)
    return PaperStyleGAN2Config(
        resolution=4 << (levels - 1),
        z_dim=z_dim,
        w_dim=w_dim,
        mapping_layers=count_while(lambda k: f"style.{k + 1}.weight" in tensors),
        channels=tuple(sizes(tensors, f"{name}.conv.weight", 5)[1] for name in last),
    )


def _table(config: PaperStyleGAN2Config) -> Table:
    table: Table = {"start": ("input.input", same)}
    for i in range(config.mapping_layers):
        table |= {f"mapping.layers.{i}.{part}": (f"style.{i + 1}.{part}", same) for part in ("weight", "bias")}
    for k in range(len(config.channels)):
        convolutions = {"conv0": 2 * k - 1, "conv1": 2 * k} if k else {"conv1": 0}
        for ours, index in convolutions.items():
            theirs = f"convs.{index - 1}" if k else "conv1"
            table |= _modulated(f"blocks.{k}.{ours}", theirs)
            table[f"blocks.{k}.{ours}.bias"] = (f"{theirs}.activate.bias", same)
            table[f"blocks.{k}.{ours}.noise_strength"] = (f"{theirs}.noise.weight", lambda t: t.squeeze(0))
            table[f"noise_{index}"] = (f"noises.noise_{index}", same)
        colors = f"to_rgbs.{k - 1}" if k else "to_rgb1"
        table |= _modulated(f"blocks.{k}.to_rgb", colors)
        table[f"blocks.{k}.to_rgb.bias"] = (f"{colors}.bias", lambda t: t[0, :, 0, 0])
    return table


def _modulated(ours: str, theirs: str) -> Table:
    affine: Table = {f"{ours}.affine.{part}": (f"{theirs}.conv.modulation.{part}", same) for part in ("weight", "bias")}
    return affine | {f"{ours}.weight": (f"{theirs}.conv.weight", lambda t: t[0])}
