"""Packs the state of the GAN training into 6 MB and back: `python in-progress/gan_state.py pack|unpack FROM TO`.

Kept: the averaged generator in float16 (training goes on from it), and the discriminator in int8 with one scale per
output channel. The optimizers start afresh. FROM: a Lightning checkpoint or state.safetensors. TO: ImageGAN's `start`.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

AVERAGE, GENERATOR, DISCRIMINATOR = "generator_average.", "generator.", "discriminator."


def pack(source: Path, target: Path) -> None:
    """Checkpoint or state to the small file."""
    if source.suffix == ".ckpt":
        checkpoint = torch.load(source, map_location="cpu", weights_only=True)
        state = checkpoint["state_dict"]
        state.setdefault("images_seen", torch.tensor(checkpoint.get("images_seen", 0)))
    else:
        state = load_file(source)
    packed = {name: value.half() for name, value in state.items() if name.startswith(AVERAGE)}
    packed["images_seen"] = state["images_seen"].long()
    for name, value in state.items():
        if not name.startswith(DISCRIMINATOR):
            continue
        if value.dim() < 2:
            packed[name] = value.half()
            continue
        scale = value.float().abs().amax(dim=tuple(range(1, value.dim())), keepdim=True).clamp_min(1e-12) / 127
        packed[name], packed[f"{name}.scale"] = (value.float() / scale).round().to(torch.int8), scale
    save_file({name: value.contiguous() for name, value in packed.items()}, target)


def unpack(source: Path, target: Path) -> None:
    """The small file to a state."""
    packed = load_file(source)
    state = {name: value for name, value in packed.items() if not name.endswith(".scale")}
    for name in list(state):
        if f"{name}.scale" in packed:
            state[name] = state[name].float() * packed[f"{name}.scale"]
        if name.startswith(AVERAGE):
            state[GENERATOR + name.removeprefix(AVERAGE)] = state[name].clone()
    save_file({name: value.contiguous() for name, value in state.items()}, target)


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
