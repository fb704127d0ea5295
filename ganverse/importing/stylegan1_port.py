"""StyleGAN1 in the state dicts of its PyTorch ports (DatasetGAN and others: g_mapping, g_synthesis)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.stylegan1 import StyleGAN1Config
from ganverse.importing.conversion import Imported, Table, convert, count_while, same, sizes
from ganverse.importing.tensors import TensorReader

LICENSE = (
    "a PyTorch port's file format; weights that were converted from NVIDIA's StyleGAN1 stay under CC BY-NC 4.0, "
    "others under the license of those who trained them"
)


def reads(value: Any) -> bool:
    """Whether this is such a state dict."""
    return isinstance(value, dict) and any(isinstance(name, str) and name.startswith("g_synthesis.") for name in value)


def read(value: Any, reader: TensorReader) -> Imported:
    """The generator; such files hold neither the average of w nor noise planes.

    Raises:
        GanverseError: it is not a whole StyleGAN1.
    """
    if not all(isinstance(name, str) for name in value) or len(value) > 2000:
        raise GanverseError("a state dict with names that are no words")
    tensors = {name: reader.tensor(record) for name, record in value.items()}
    config = _config(tensors)
    filters = [name for name in tensors if name.endswith(".intermediate.kernel")]
    return Imported("StyleGAN1, PyTorch port", config, convert(tensors, _table(config), filters), LICENSE)


def _block(k: int) -> str:
    return f"g_synthesis.blocks.{4 << k}x{4 << k}"


def _second(k: int) -> str:
    return f"{_block(k)}.{'conv1' if k else 'conv'}"


def _config(tensors: dict[str, Tensor]) -> StyleGAN1Config:
    levels = count_while(lambda k: f"{_second(k)}.weight" in tensors)
    w_dim, z_dim = sizes(tensors, "g_mapping.dense0.weight", 2)
    return StyleGAN1Config(
        resolution=4 << max(levels - 1, 0),
        z_dim=z_dim,
        w_dim=w_dim,
        mapping_layers=count_while(lambda i: f"g_mapping.dense{i}.weight" in tensors),
        channels=tuple(sizes(tensors, f"{_second(k)}.weight", 4)[0] for k in range(levels)),
    )


def _table(config: StyleGAN1Config) -> Table:
    table: Table = {
        "start": (f"{_block(0)}.const", same),
        "color_weight": ("g_synthesis.torgb.weight", same),
        "color_bias": ("g_synthesis.torgb.bias", same),
    }
    for i in range(config.mapping_layers):
        table |= {f"mapping.layers.{i}.{part}": (f"g_mapping.dense{i}.{part}", same) for part in ("weight", "bias")}
    for k in range(len(config.channels)):
        if k:
            table[f"blocks.{k}.up"] = (f"{_block(k)}.conv0_up.weight", same)
        table[f"blocks.{k}.conv"] = (f"{_second(k)}.weight", same)
        table[f"blocks.{k}.epilogue0.bias"] = (f"{_block(k)}.{'conv0_up.bias' if k else 'bias'}", same)
        table[f"blocks.{k}.epilogue1.bias"] = (f"{_second(k)}.bias", same)
        for j in (0, 1):
            ours, theirs = f"blocks.{k}.epilogue{j}", f"{_block(k)}.epi{j + 1}"
            table[f"{ours}.noise_weight"] = (f"{theirs}.top_epi.noise.weight", same)
            table |= {f"{ours}.affine.{part}": (f"{theirs}.style_mod.lin.{part}", same) for part in ("weight", "bias")}
    return table
