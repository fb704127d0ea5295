"""StyleGAN2 in NVIDIA's PyTorch pickles (stylegan2-ada-pytorch, and the StyleGAN2 of the stylegan3 repository).

A network is a `_reconstruct_persistent_obj` call whose argument holds the source code of its class, which is not looked
at, and its state: parameters, buffers and sub-modules, these again as such calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config
from ganverse.importing.conversion import (
    Imported,
    Table,
    Tensors,
    batched,
    check_filters,
    check_settings,
    convert,
    count_while,
    plane,
    same,
    sizes,
)
from ganverse.importing.pickles import Made
from ganverse.importing.tensors import TensorReader

LICENSE = (
    "NVIDIA's file format; weights that NVIDIA published are under its non-commercial Source Code License, "
    "others under the license of those who trained them"
)
MAX_TENSORS = 2000
MODULATED = ("weight", "bias", "affine.weight", "affine.bias")


def reads(value: Any) -> bool:
    """Whether this is the content of such a pickle."""
    return isinstance(value, dict) and "G_ema" in value


def read(value: Any, reader: TensorReader) -> Imported:
    """The generator `G_ema`.

    Raises:
        GanverseError: it is missing, conditional, a StyleGAN3, or unusual in another way.
    """
    network = state_of(value["G_ema"])
    settings = _mapping(network.get("_init_kwargs", {}), "_init_kwargs")
    tensors: dict[str, Tensor] = {}
    for name, record in walk(network):
        tensors[name] = reader.tensor(record)
        if len(tensors) > MAX_TENSORS:
            raise GanverseError(f"more than {MAX_TENSORS} tensors")
    refuse_other_generators(settings, tensors)
    config = _config(network, settings, tensors)
    filters = check_filters(tensors, "resample_filter")
    return Imported("StyleGAN2, PyTorch, NVIDIA's pickle", config, convert(tensors, _table(config), filters), LICENSE)


def state_of(record: Any) -> dict[str, Any]:
    """The state of a persistent object; GanverseError for anything else or an unknown version."""
    if not isinstance(record, Made) or not record.name.endswith("_reconstruct_persistent_obj"):
        raise GanverseError(f"an object of type {type(record).__name__} in place of a network")
    (meta,) = record.arguments if len(record.arguments) == 1 else (None,)
    meta = _mapping(meta, "network")
    if meta.get("type") != "class" or meta.get("version") != 6:
        raise GanverseError("a network saved in another version than 6")
    return _mapping(meta.get("state"), "state")


def walk(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names as in a state dict, and the records of the tensors."""
    waiting, seen = [("", state)], {id(state)}
    while waiting:
        prefix, state = waiting.pop()
        for kind in ("_parameters", "_buffers"):
            for name, record in _mapping(state.get(kind, {}), kind).items():
                if record is not None:
                    yield f"{prefix}{name}", record
        for name, module in _mapping(state.get("_modules", {}), "_modules").items():
            inner = state_of(module)
            if id(inner) in seen:
                raise GanverseError(f"the module {name[:40]!r} in two places")
            seen.add(id(inner))
            waiting.append((f"{prefix}{name}.", inner))


def refuse_other_generators(settings: dict[str, Any], tensors: Tensors) -> None:
    """GanverseError for a conditional generator and for a StyleGAN3."""
    if any(name.startswith("synthesis.input.") for name in tensors):
        raise GanverseError("a StyleGAN3 generator, for which there is no network here; StyleGAN1 and 2 can be read")
    if settings.get("c_dim", 0) != 0 or any(name.startswith("mapping.embed.") for name in tensors):
        raise GanverseError("a conditional generator (c_dim > 0); only unconditional ones can be read")


def _config(network: dict[str, Any], settings: dict[str, Any], tensors: Tensors) -> PaperStyleGAN2Config:
    synthesis = _mapping(settings.get("synthesis_kwargs", {}), "synthesis_kwargs")
    mapping = _mapping(settings.get("mapping_kwargs", {}), "mapping_kwargs")
    check_settings(
        synthesis,
        {"resample_filter": [1, 3, 3, 1], "activation": "lrelu", "use_noise": True},
        ("channel_base", "channel_max", "num_fp16_res", "conv_clamp", "architecture", "fused_modconv_default")
        + ("fp16_channels_last",),
    )
    check_settings(
        mapping,
        {"activation": "lrelu", "lr_multiplier": 0.01},
        ("num_layers", "layer_features", "embed_features", "w_avg_beta"),
    )
    layers = count_while(lambda k: f"mapping.fc{k}.weight" in tensors)
    levels = count_while(lambda k: f"synthesis.b{4 << k}.conv1.weight" in tensors)
    architecture = synthesis.get("architecture", "skip")
    if architecture not in ("skip", "resnet"):
        raise GanverseError("a synthesis network whose architecture is neither skip nor resnet")
    half = synthesis.get("num_fp16_res", 0)
    return PaperStyleGAN2Config(
        resolution=4 << max(levels - 1, 0),
        z_dim=sizes(tensors, "mapping.fc0.weight", 2)[1],
        w_dim=sizes(tensors, "mapping.fc0.weight", 2)[0],
        mapping_layers=layers,
        channels=tuple(sizes(tensors, f"synthesis.b{4 << k}.conv1.weight", 4)[0] for k in range(levels)),
        branches="residual" if architecture == "resnet" else "skip",
        clamp=_clamp(network, synthesis),
        half_resolutions=half if type(half) is int and half >= 0 else 0,
    )


def _clamp(network: dict[str, Any], synthesis: dict[str, Any]) -> float | None:
    """As the first layer keeps it; else as the settings say it."""
    state = network
    for name in ("synthesis", "b4", "conv1"):
        state = state_of(_mapping(state.get("_modules", {}), "_modules").get(name))
    clamp = state.get("conv_clamp", synthesis.get("conv_clamp"))
    if clamp is not None and not (isinstance(clamp, (int, float)) and clamp > 0):
        raise GanverseError("a setting conv_clamp that is no positive number")
    return None if clamp is None else float(clamp)


def _table(config: PaperStyleGAN2Config) -> Table:
    table: Table = {"w_average": ("mapping.w_avg", same), "start": ("synthesis.b4.const", batched)}
    for i in range(config.mapping_layers):
        table |= _pairs(f"mapping.layers.{i}", f"mapping.fc{i}", ("weight", "bias"))
    planes = iter(range(2 * len(config.channels)))
    for k in range(len(config.channels)):
        block = f"synthesis.b{4 << k}"
        for conv in ("conv0", "conv1") if k else ("conv1",):
            table |= _pairs(f"blocks.{k}.{conv}", f"{block}.{conv}", (*MODULATED, "noise_strength"))
            table[f"noise_{next(planes)}"] = (f"{block}.{conv}.noise_const", plane)
        if config.branches == "skip" or k == len(config.channels) - 1:
            table |= _pairs(f"blocks.{k}.to_rgb", f"{block}.torgb", MODULATED)
        if config.branches == "residual" and k:
            table[f"blocks.{k}.skip"] = (f"{block}.skip.weight", same)
    return table


def _pairs(ours: str, theirs: str, parts: tuple[str, ...]) -> Table:
    return {f"{ours}.{part}": (f"{theirs}.{part}", same) for part in parts}


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise GanverseError(f"an object of type {type(value).__name__} in place of a mapping ({what})")
    return value
