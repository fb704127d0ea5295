"""The variables of StyleGAN2's TensorFlow networks under the names of ours."""

from __future__ import annotations

from torch import Tensor

from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config
from ganverse.importing.conversion import Change, Table, Tensors, convert, count_while, same, sizes
from ganverse.importing.tensorflow_layout import convolution, dense, one_more, turned_convolution

FAMILY = "StyleGAN2"


def convert_variables(tensors: Tensors) -> tuple[PaperStyleGAN2Config, dict[str, Tensor]]:
    """Architecture and weights; GanverseError if the variables are not those of a whole StyleGAN2."""
    config = _config(tensors)
    return config, convert(tensors, _table(config), ("lod", "synthesis/lod"))


def _side(k: int) -> str:
    return f"synthesis/{4 << k}x{4 << k}"


def _config(tensors: Tensors) -> PaperStyleGAN2Config:
    levels = 1 + count_while(lambda k: f"{_side(k + 1)}/Conv1/weight" in tensors)
    last = [f"{_side(k)}/Conv{'1' if k else ''}/weight" for k in range(levels)]
    z_dim, w_dim = sizes(tensors, "mapping/Dense0/weight", 2)
    return PaperStyleGAN2Config(
        resolution=4 << (levels - 1),
        z_dim=z_dim,
        w_dim=w_dim,
        mapping_layers=count_while(lambda i: f"mapping/Dense{i}/weight" in tensors),
        channels=tuple(sizes(tensors, name, 4)[3] for name in last),
        branches="residual" if f"{_side(1)}/Skip/weight" in tensors else "skip",
    )


def _table(config: PaperStyleGAN2Config) -> Table:
    table: Table = {"w_average": ("dlatent_avg", same), "start": (f"{_side(0)}/Const/const", same)}
    for i in range(config.mapping_layers):
        table[f"mapping.layers.{i}.weight"] = (f"mapping/Dense{i}/weight", dense)
        table[f"mapping.layers.{i}.bias"] = (f"mapping/Dense{i}/bias", same)
    for k in range(len(config.channels)):
        if k:
            table |= _convolution(f"blocks.{k}.conv0", f"{_side(k)}/Conv0_up", turned_convolution, 2 * k - 1)
        table |= _convolution(f"blocks.{k}.conv1", f"{_side(k)}/{'Conv1' if k else 'Conv'}", convolution, 2 * k)
        if config.branches == "skip" or k == len(config.channels) - 1:
            table |= _modulated(f"blocks.{k}.to_rgb", f"{_side(k)}/ToRGB", convolution)
        if config.branches == "residual" and k:
            table[f"blocks.{k}.skip"] = (f"{_side(k)}/Skip/weight", convolution)
    return table


def _convolution(ours: str, theirs: str, change: Change, index: int) -> Table:
    noise: Table = {
        f"{ours}.noise_strength": (f"{theirs}/noise_strength", same),
        f"noise_{index}": (f"synthesis/noise{index}", same),
    }
    return _modulated(ours, theirs, change) | noise


def _modulated(ours: str, theirs: str, change: Change) -> Table:
    return {
        f"{ours}.weight": (f"{theirs}/weight", change),
        f"{ours}.bias": (f"{theirs}/bias", same),
        f"{ours}.affine.weight": (f"{theirs}/mod_weight", dense),
        f"{ours}.affine.bias": (f"{theirs}/mod_bias", one_more),
    }
