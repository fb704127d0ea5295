"""StyleGAN1 and StyleGAN2 in NVIDIA's TensorFlow pickles: (G, D, Gs), each a `Network` with its variables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ganverse.errors import GanverseError
from ganverse.importing import tensorflow_stylegan1, tensorflow_stylegan2
from ganverse.importing.conversion import Imported, check_settings
from ganverse.importing.pickles import Made
from ganverse.importing.tensors import TensorReader

LICENSE = (
    "NVIDIA's file format; the published StyleGAN1 weights are under CC BY-NC 4.0 and the StyleGAN2 weights under "
    "NVIDIA's non-commercial Source Code License, others under the license of those who trained them"
)
NETWORK = "dnnlib.tflib.network.Network"
VERSIONS = (2, 3, 4, 5)
# Settings that would make another function of the same tensors, with the values that are built here.
USUAL: dict[str, Any] = {
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
    "fused_scale": "auto",
    "blur_filter": [1, 2, 1],
    "resample_kernel": [1, 3, 3, 1],
    "num_channels": 3,
}


def reads(value: Any) -> bool:
    """Whether this is the content of such a pickle."""
    return isinstance(value, (tuple, list)) and any(isinstance(item, Made) and item.name == NETWORK for item in value)


def read(value: Any, reader: TensorReader) -> Imported:
    """The generator Gs, the averaged one.

    Raises:
        GanverseError: it is missing, conditional, still growing, or unusual in another way.
    """
    if len(value) != 3:
        raise GanverseError(f"{len(value)} networks in place of (G, D, Gs)")
    state = _state(value[2])
    tensors = {name: reader.tensor(record) for name, record in _variables(state)}
    settings = {name: value for name, value in _dict(state, "static_kwargs").items() if name in USUAL}
    if settings.get("label_size", 0) != 0:
        raise GanverseError("a conditional generator (label_size > 0); only unconditional ones can be read")
    check_settings(settings, USUAL)
    architecture = tensorflow_stylegan1 if any("/StyleMod/" in name for name in tensors) else tensorflow_stylegan2
    config, weights = architecture.convert_variables(tensors)
    return Imported(f"{architecture.FAMILY}, TensorFlow, NVIDIA's pickle", config, weights, LICENSE)


def _state(network: Any) -> dict[str, Any]:
    if not isinstance(network, Made) or network.name != NETWORK or not isinstance(network.state, dict):
        raise GanverseError(f"an object of type {type(network).__name__} in place of a network")
    if network.state.get("version") not in VERSIONS:
        raise GanverseError(f"a network saved in a version other than {VERSIONS}")
    return network.state


def _variables(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The variables of a network and of its components (mapping, synthesis), which lead their names."""
    waiting, seen = [("", state)], {id(state)}
    while waiting:
        prefix, state = waiting.pop()
        variables = state.get("variables")
        if not isinstance(variables, list) or len(variables) > 2000:
            raise GanverseError("a network without a list of variables")
        for item in variables:
            if not isinstance(item, (tuple, list)) or len(item) != 2 or not isinstance(item[0], str):
                raise GanverseError("a variable that is no (name, array)")
            yield prefix + item[0], item[1]
        for name, component in _dict(state, "components").items():
            inner = _state(component)
            if id(inner) in seen:
                raise GanverseError("a network that is its own component")
            seen.add(id(inner))
            waiting.append((f"{prefix}{name}/", inner))


def _dict(state: dict[str, Any], name: str) -> dict[str, Any]:
    found = state.get(name, {})
    if not isinstance(found, dict):
        raise GanverseError(f"{name} that are no mapping")
    return found
