"""StyleGAN2 and StyleGAN3 from NVIDIA's PyTorch pickles (the stylegan2-ada-pytorch and stylegan3 repositories).

A network is a `_reconstruct_persistent_obj` call with its class's source code, which is ignored, and its state:
parameters, buffers and submodules (again such calls).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.style_based import StyleBasedConfig
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config
from ganverse.generators.stylegan3 import StyleGAN3Config
from ganverse.importing.conversion import (
    Imported,
    Rule,
    check_settings,
    convert,
    count_while,
    fix_class,
    level,
    low_pass,
    mapping_sizes,
    named,
    positive,
    sizes,
    stylegan2_config,
)
from ganverse.importing.pickles import Made
from ganverse.importing.torch_files import MAX_NAME, TensorReader

LICENSE = (
    "NVIDIA's file format; weights that NVIDIA published are under its non-commercial Source Code License, "
    "others under the license of those who trained them"
)
_MAPPING = (
    Rule(r"mapping\.w_avg", "w_average"),
    Rule(r"mapping\.fc(\d{1,2})\.(weight|bias)", r"mapping.layers.\1.\2"),
    Rule(r"mapping\.embed\.(weight|bias)", r"embed.\1"),
)
_BLOCK = r"synthesis\.b(?P<side>\d{1,4})\."
_STYLEGAN2 = (
    *_MAPPING,
    Rule(r"synthesis\.b4\.const", "start", lambda t: t[None]),
    Rule(
        _BLOCK + r"conv(?P<j>[01])\.noise_const",
        lambda m: f"noise_{2 * level(m['side']) - 1 + int(m['j'])}",
        lambda t: t[None, None],
    ),
    Rule(
        _BLOCK + r"(?P<conv>conv[01])\.(?P<part>weight|bias|noise_strength|affine\.weight|affine\.bias)",
        lambda m: f"blocks.{level(m['side'])}.{m['conv']}.{m['part']}",
    ),
    Rule(
        _BLOCK + r"torgb\.(?P<part>weight|bias|affine\.weight|affine\.bias)",
        lambda m: f"blocks.{level(m['side'])}.to_rgb.{m['part']}",
    ),
    Rule(_BLOCK + r"skip\.weight", lambda m: f"blocks.{level(m['side'])}.skip"),
    Rule(r".*\bresample_filter", None, low_pass),
)
_LAYER = r"synthesis\.L(?P<index>\d{1,2})_(?P<size>\d{1,4})_\d{1,5}\."
_STYLEGAN3 = (
    *_MAPPING,
    Rule(r"synthesis\.(input\.(weight|freqs|phases|transform|affine\.weight|affine\.bias))", r"\1"),
    Rule(
        _LAYER + r"(?P<part>weight|bias|magnitude_ema|up_filter|down_filter|affine\.weight|affine\.bias)",
        r"convolutions.\g<index>.\g<part>",
    ),
)
_USUAL2 = {"img_channels": 3, "resample_filter": [1, 3, 3, 1], "activation": "lrelu", "use_noise": True}
_USUAL3 = {
    "img_channels": 3,
    "num_critical": 2,
    "first_cutoff": 2,
    "first_stopband": 2**2.1,
    "last_stopband_rel": 2**0.3,
    "margin_size": 10,
    "output_scale": 0.25,
    "filter_size": 6,
    "lrelu_upsampling": 2,
}
_BRANCHES = {"skip": "skip", "resnet": "residual"}
# Settings that are read from the tensors, or only affect speed and training.
_READ = (
    "z_dim c_dim w_dim img_resolution mapping_kwargs synthesis_kwargs channel_base channel_max num_fp16_res conv_clamp "
    "architecture fp16_channels_last fused_modconv_default num_layers conv_kernel use_radial_filters magnitude_ema_beta"
)


def reads(value: Any) -> bool:
    """Whether the value has this format."""
    return isinstance(value, dict) and "G_ema" in value


def read(value: Any, reader: TensorReader, class_index: int | None) -> Imported:
    """The generator `G_ema`, for the class `class_index` if it is conditional.

    Raises:
        GanverseError: it is missing or unsupported.
    """
    network = state_of(value["G_ema"])
    settings = _settings(network)
    tensors = reader.tensors(walk(network))
    third = any(name.startswith("synthesis.input.") for name in tensors)
    check_settings(settings, _USUAL3 if third else _USUAL2, _READ)
    weights = convert(tensors, _STYLEGAN3 if third else _STYLEGAN2)
    classes = fix_class(weights, class_index)
    if classes is None and settings.get("c_dim", 0) != 0:
        raise GanverseError("a conditional generator without its embedding of classes")
    config: StyleBasedConfig = (
        _stylegan3_config(tensors, weights, settings) if third else _stylegan2_config(weights, network, settings)
    )
    family = f"StyleGAN{3 if third else 2}, PyTorch, NVIDIA's pickle"
    return Imported(family, config, weights, LICENSE, classes)


def state_of(record: Any) -> dict[str, Any]:
    """State of a persistent object; GanverseError for anything else or an unknown version."""
    if not isinstance(record, Made) or not record.name.endswith("_reconstruct_persistent_obj"):
        raise GanverseError(f"an object of type {type(record).__name__} in place of a network")
    (meta,) = record.arguments if len(record.arguments) == 1 else (None,)
    meta = named(meta, "network")
    if meta.get("type") != "class" or meta.get("version") != 6:
        raise GanverseError("a network saved in a version other than 6")
    return named(meta.get("state"), "state")


def walk(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names as in a state dict, and the tensors' records."""
    waiting, seen = [("", state)], {id(state)}
    while waiting:
        prefix, state = waiting.pop()
        if len(prefix) > MAX_NAME:
            raise GanverseError("modules nested deeper than those of a generator")
        for kind in ("_parameters", "_buffers"):
            for name, record in named(state.get(kind, {}), kind).items():
                if record is not None:
                    yield prefix + name, record
        for name, module in named(state.get("_modules", {}), "_modules").items():
            inner = state_of(module)
            if id(inner) in seen:
                raise GanverseError(f"the module {name[:40]!r} in two places")
            seen.add(id(inner))
            waiting.append((f"{prefix}{name}.", inner))


def _settings(network: dict[str, Any]) -> dict[str, Any]:
    """Synthesis settings, in `synthesis_kwargs` (stylegan2-ada) or flat (stylegan3); checks the others."""
    if network.get("_init_args", ()) not in ((), []):
        raise GanverseError("a network made with unnamed settings")
    settings = named(network.get("_init_kwargs", {}), "_init_kwargs")
    check_settings(
        named(settings.get("mapping_kwargs", {}), "mapping_kwargs"),
        {"activation": "lrelu", "lr_multiplier": 0.01},
        "num_layers layer_features embed_features w_avg_beta",
    )
    return {**settings, **named(settings.get("synthesis_kwargs", {}), "synthesis_kwargs")}


def _stylegan2_config(
    weights: dict[str, Tensor], network: dict[str, Any], settings: dict[str, Any]
) -> PaperStyleGAN2Config:
    architecture = settings.get("architecture", "skip")
    if architecture not in ("skip", "resnet"):
        raise GanverseError("a synthesis network whose architecture is neither skip nor resnet")
    return stylegan2_config(
        weights,
        branches=_BRANCHES[architecture],
        clamp=positive({**settings, **_first_layer(network)}, "conv_clamp"),
    )


def _stylegan3_config(
    tensors: dict[str, Tensor], weights: dict[str, Tensor], settings: dict[str, Any]
) -> StyleGAN3Config:
    last = count_while(lambda k: f"convolutions.{k + 1}.weight" in weights)
    names = [match for match in (re.match(_LAYER, name) for name in tensors) if match]
    sides = {int(match["index"]): int(match["size"]) for match in names}
    config = StyleGAN3Config(
        **mapping_sizes(weights),
        resolution=sides.get(last, 0),
        channels=tuple(sizes(weights, f"convolutions.{k}.weight", 4)[0] for k in range(last)),
        kernel=sizes(weights, "convolutions.0.weight", 4)[3],
        radial=any(name.endswith("down_filter") and tensor.dim() == 2 for name, tensor in weights.items()),
        clamp=positive({"conv_clamp": 256.0, **settings}, "conv_clamp"),
    )
    if sides != {k: grid.size for k, grid in enumerate(config.grids)}:
        raise GanverseError("a StyleGAN3 with other sampling rates than those of the paper")
    return config


def _first_layer(network: dict[str, Any]) -> dict[str, Any]:
    """Attributes of the first layer, which are more reliable than the settings."""
    for name in ("synthesis", "b4", "conv1"):
        network = state_of(named(network.get("_modules", {}), "_modules").get(name))
    return network
