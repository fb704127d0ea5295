"""The variables of StyleGAN1's TensorFlow networks under the names of ours."""

from __future__ import annotations

from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.stylegan1 import StyleGAN1Config
from ganverse.importing.conversion import Table, Tensors, convert, count_while, same, sizes
from ganverse.importing.tensorflow_layout import convolution, dense

FAMILY = "StyleGAN1"


def convert_variables(tensors: Tensors) -> tuple[StyleGAN1Config, dict[str, Tensor]]:
    """Architecture and weights; GanverseError if the variables are not those of a whole, fully grown StyleGAN1."""
    config = _config(tensors)
    grown = ("lod", "synthesis/lod")
    for name in grown:
        if name in tensors and bool((tensors[name] != 0).any()):
            raise GanverseError("a generator that is still growing (lod is not 0)")
    smaller = [name for name in tensors if name.startswith("synthesis/ToRGB_lod") and "_lod0/" not in name]
    return config, convert(tensors, _table(config), (*grown, *smaller))


def _layers(k: int) -> tuple[str, str]:
    """The two layers of a resolution."""
    side = f"synthesis/{4 << k}x{4 << k}"
    return (f"{side}/Conv0_up", f"{side}/Conv1") if k else (f"{side}/Const", f"{side}/Conv")


def _config(tensors: Tensors) -> StyleGAN1Config:
    levels = count_while(lambda k: f"{_layers(k)[1]}/weight" in tensors)
    z_dim, w_dim = sizes(tensors, "mapping/Dense0/weight", 2)
    return StyleGAN1Config(
        resolution=4 << max(levels - 1, 0),
        z_dim=z_dim,
        w_dim=w_dim,
        mapping_layers=count_while(lambda i: f"mapping/Dense{i}/weight" in tensors),
        channels=tuple(sizes(tensors, f"{_layers(k)[1]}/weight", 4)[3] for k in range(levels)),
    )


def _table(config: StyleGAN1Config) -> Table:
    table: Table = {
        "w_average": ("dlatent_avg", same),
        "start": ("synthesis/4x4/Const/const", same),
        "color_weight": ("synthesis/ToRGB_lod0/weight", convolution),
        "color_bias": ("synthesis/ToRGB_lod0/bias", same),
    }
    for i in range(config.mapping_layers):
        table[f"mapping.layers.{i}.weight"] = (f"mapping/Dense{i}/weight", dense)
        table[f"mapping.layers.{i}.bias"] = (f"mapping/Dense{i}/bias", same)
    for k in range(len(config.channels)):
        first, second = _layers(k)
        if k:
            table[f"blocks.{k}.up"] = (f"{first}/weight", convolution)
        table[f"blocks.{k}.conv"] = (f"{second}/weight", convolution)
        for j, layer in enumerate((first, second)):
            table |= _epilogue(f"blocks.{k}.epilogue{j}", layer)
            table[f"noise_{2 * k + j}"] = (f"synthesis/noise{2 * k + j}", same)
    return table


def _epilogue(ours: str, theirs: str) -> Table:
    return {
        f"{ours}.noise_weight": (f"{theirs}/Noise/weight", same),
        f"{ours}.bias": (f"{theirs}/bias", same),
        f"{ours}.affine.weight": (f"{theirs}/StyleMod/weight", dense),
        f"{ours}.affine.bias": (f"{theirs}/StyleMod/bias", same),
    }
