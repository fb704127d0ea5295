"""StyleGAN1 and StyleGAN2 from NVIDIA's TensorFlow pickles: (G, D, Gs), each a `Network` with its variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.importing.conversion import (
    Imported,
    Rule,
    check_settings,
    convert,
    level,
    named,
    positive,
    stylegan1_config,
    stylegan2_config,
)
from ganverse.importing.pickles import Made
from ganverse.importing.torch_files import MAX_NAME, TensorReader

LICENSE = (
    "NVIDIA's file format; the published StyleGAN1 weights are under CC BY-NC 4.0 and the StyleGAN2 weights under "
    "NVIDIA's non-commercial Source Code License, others under the license of those who trained them"
)
NETWORK = "dnnlib.tflib.network.Network"
VERSIONS = (2, 3, 4, 5)
# Settings that change the function of the same tensors, with the values supported here.
_USUAL: dict[str, Any] = {
    "label_size": 0,
    "normalize_latents": True,
    "mapping_lrmul": 0.01,
    "mapping_nonlinearity": "lrelu",
    "nonlinearity": "lrelu",
    "use_wscale": True,
    "mapping_use_wscale": True,
    "use_styles": True,
    "use_noise": True,
    "use_instance_norm": True,
    "use_pixel_norm": False,
    "const_input_layer": True,
    "fused_scale": "auto",
    "blur_filter": [1, 2, 1],
    "resample_kernel": [1, 3, 3, 1],
    "num_channels": 3,
}
# Read from the tensors, or only about training, sampling and speed.
_READ = (
    "func_name mapping_func synthesis_func components resolution latent_size dlatent_size dlatent_broadcast dtype "
    "mapping_layers mapping_fmaps fmap_base fmap_decay fmap_min fmap_max architecture structure dlatent_avg_beta "
    "truncation_psi truncation_cutoff truncation_psi_val truncation_cutoff_val style_mixing_prob randomize_noise "
    "return_dlatents is_training is_validation is_template_graph force_clean_graph fused_modconv"
)


def dense(weight: Tensor) -> Tensor:
    """[in, out] to [out, in]."""
    return weight.transpose(0, 1)


def convolution(weight: Tensor) -> Tensor:
    """[height, width, in, out] to [out, in, height, width]."""
    return weight.permute(3, 2, 0, 1)


def turned_convolution(weight: Tensor) -> Tensor:
    """The same, rotated by 180 degrees: TensorFlow's StyleGAN2 rotates upsampling kernels before use."""
    return convolution(weight).flip(2, 3)


def fully_grown(lod: Tensor) -> Tensor:
    """Checks that progressive growing has ended."""
    if bool((lod != 0).any()):
        raise GanverseError("a generator that is still growing (lod is not 0)")
    return lod


def _part(layers: dict[str, str], part: str) -> Callable[[re.Match[str]], str]:
    """Our name for a part of a layer."""
    return lambda m: f"blocks.{level(m['side'])}.{layers[m['layer']]}.{part}"


_SIDE = r"synthesis/(?P<side>\d{1,4})x(?P=side)/"
_LAYER = _SIDE + r"(?P<layer>Const|Conv0_up|Conv1?|ToRGB)/"
_SHARED = (
    Rule("dlatent_avg", "w_average"),
    Rule(r"mapping/Dense(\d{1,2})/weight", r"mapping.layers.\1.weight", dense),
    Rule(r"mapping/Dense(\d{1,2})/bias", r"mapping.layers.\1.bias"),
    Rule("synthesis/4x4/Const/const", "start"),
    Rule(r"synthesis/noise(\d{1,2})", r"noise_\1"),
    Rule(r"(synthesis/)?lod", None, fully_grown),
)
_LAYERS1 = {"Const": "epilogue0", "Conv0_up": "epilogue0", "Conv": "epilogue1", "Conv1": "epilogue1"}
_STYLEGAN1 = (
    *_SHARED,
    Rule(_SIDE + "Conv0_up/weight", lambda m: f"blocks.{level(m['side'])}.up", convolution),
    Rule(_SIDE + "Conv1?/weight", lambda m: f"blocks.{level(m['side'])}.conv", convolution),
    Rule("synthesis/ToRGB_lod0/weight", "color_weight", convolution),
    Rule("synthesis/ToRGB_lod0/bias", "color_bias"),
    Rule(r"synthesis/ToRGB_lod\d{1,2}/.*", None),  # of lower resolutions, used while growing
    Rule(_LAYER + "bias", _part(_LAYERS1, "bias")),
    Rule(_LAYER + "Noise/weight", _part(_LAYERS1, "noise_weight")),
    Rule(_LAYER + "StyleMod/weight", _part(_LAYERS1, "affine.weight"), dense),
    Rule(_LAYER + "StyleMod/bias", _part(_LAYERS1, "affine.bias")),
)
_LAYERS2 = {"Conv0_up": "conv0", "Conv": "conv1", "Conv1": "conv1", "ToRGB": "to_rgb"}
_STYLEGAN2 = (
    *_SHARED,
    Rule(_SIDE + "(?P<layer>Conv0_up)/weight", _part(_LAYERS2, "weight"), turned_convolution),
    Rule(_LAYER + "weight", _part(_LAYERS2, "weight"), convolution),
    Rule(_LAYER + "bias", _part(_LAYERS2, "bias")),
    Rule(_LAYER + "noise_strength", _part(_LAYERS2, "noise_strength")),
    Rule(_LAYER + "mod_weight", _part(_LAYERS2, "affine.weight"), dense),
    Rule(_LAYER + "mod_bias", _part(_LAYERS2, "affine.bias"), lambda bias: bias + 1.0),
    Rule(_SIDE + "Skip/weight", lambda m: f"blocks.{level(m['side'])}.skip", convolution),
)


def reads(value: Any) -> bool:
    """Whether the value has this format."""
    return isinstance(value, (tuple, list)) and any(isinstance(item, Made) and item.name == NETWORK for item in value)


def read(value: Any, reader: TensorReader) -> Imported:
    """The averaged generator, Gs.

    Raises:
        GanverseError: it is missing, conditional, still growing, or otherwise unsupported.
    """
    if len(value) != 3:
        raise GanverseError(f"{len(value)} networks in place of (G, D, Gs)")
    networks = list(_networks(value[2]))
    settings: dict[str, Any] = {}
    for _, state in reversed(networks):  # the whole network's settings take precedence
        settings |= named(state.get("static_kwargs", {}), "static_kwargs")
    if settings.get("label_size", 0) != 0:
        raise GanverseError("a conditional generator of TensorFlow (label_size > 0), which cannot be read")
    tensors = reader.tensors(item for prefix, state in networks for item in _variables(prefix, state))
    if any("/StyleMod/" in name for name in tensors):
        check_settings(settings, {**_USUAL, "conv_clamp": None, "num_fp16_res": 0}, _READ)
        weights = convert(tensors, _STYLEGAN1)
        return Imported("StyleGAN1, TensorFlow, NVIDIA's pickle", stylegan1_config(weights), weights, LICENSE)
    check_settings(settings, _USUAL, f"{_READ} conv_clamp num_fp16_res")
    weights = convert(tensors, _STYLEGAN2)
    config = stylegan2_config(
        weights,
        branches="residual" if "blocks.1.skip" in weights else "skip",
        clamp=positive(settings, "conv_clamp"),
    )
    return Imported("StyleGAN2, TensorFlow, NVIDIA's pickle", config, weights, LICENSE)


def _networks(network: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A network and its components (mapping, synthesis), whose names prefix those of their variables."""
    waiting, seen = [("", network)], set()
    while waiting:
        prefix, network = waiting.pop()
        if not isinstance(network, Made) or network.name != NETWORK or not isinstance(network.state, dict):
            raise GanverseError(f"an object of type {type(network).__name__} in place of a network")
        if network.state.get("version") not in VERSIONS:
            raise GanverseError(f"a network saved in a version other than {VERSIONS}")
        if id(network) in seen or len(prefix) > MAX_NAME:
            raise GanverseError("a network that is its own component")
        seen.add(id(network))
        yield prefix, network.state
        for name, component in named(network.state.get("components", {}), "components").items():
            waiting.append((f"{prefix}{name}/", component))


def _variables(prefix: str, state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    variables = state.get("variables")
    if not isinstance(variables, list):
        raise GanverseError("a network without a list of variables")
    for item in variables:
        if not isinstance(item, (tuple, list)) or len(item) != 2 or not isinstance(item[0], str):
            raise GanverseError("a variable that is not a (name, array) pair")
        yield prefix + item[0], item[1]
