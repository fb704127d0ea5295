"""What one picture costs on one CPU thread, part by part: `python -m benchmarks.scaling_costs --json FILE`.

The ground under `benchmarks.scaling_model`: CPU milliseconds (the smallest of a few rounds), floating-point operations
(torch.utils.flop_counter), bytes kept for the backward pass, and bytes on disk, for each resolution. The generator is
StyleGAN2 config-f at that resolution with random weights: what it costs does not depend on them.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.renderer import ganverse_passes
from benchmarks.renderer_scene import ellipsoid_scene
from ganverse.data.sampling import random_numbers
from ganverse.data.shards import decoded_pixels
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config, PaperStyleGAN2Generator
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.io import to_pil
from ganverse.masks.segmenter import Segmenter
from ganverse.random_streams import latents
from ganverse.worlds.generator import CarWorldGenerator

CHANNELS = {
    64: (48, 96, 160, 256),
    128: (48, 96, 160, 256, 384),
    256: (48, 96, 160, 256, 384),
    512: (48, 96, 160, 256, 384, 512),
}
"""Of the inverse network's encoder; the 512 px one is that of configs/paper."""
TEXTURE = {64: 128, 128: 128, 256: 256, 512: 256}


@dataclass(frozen=True)
class Part:
    """One part of the work for one picture. saved_bytes: kept for the backward pass, float32."""

    cpu_ms: float
    flops: float = 0.0
    saved_bytes: float = 0.0


@dataclass(frozen=True)
class PictureCosts:
    """All parts at one resolution.

    generator, segmenter: forward, per image. network: forward and backward, per picture. render, perceptual: forward
    and backward, per render. draw: the stream's random numbers, per object. decode: image and mask out of a shard, per
    image. *_parameters: counts. stored_bytes: PNG image and mask of the car world, per image.
    """

    size: int
    generator: Part
    segmenter: Part
    network: Part
    render: Part
    perceptual: Part
    draw: Part
    decode: Part
    generator_parameters: int
    network_parameters: int
    stored_bytes: float


def measure(size: int, rounds: int = 2) -> PictureCosts:
    """All parts at `size` pixels a side, batch 1 (renders: 8)."""
    torch.manual_seed(0)
    generator = PaperStyleGAN2Generator(paper_generator(size)).eval().requires_grad_(False)
    config = InverseNetworkConfig(resolution=size, channels=CHANNELS[size], texture_size=TEXTURE[size])
    network = InverseGraphicsNetwork(config).to(memory_format=torch.channels_last)
    segmenter, distance = Segmenter().eval().requires_grad_(False), PerceptualDistance()
    picture = torch.rand(1, 3, size, size)
    styles = generator.styles(generator.map(torch.randn(1, generator.z_dim)))
    passes = ganverse_passes("warp", ellipsoid_scene(3, 8, size, torch.device("cpu")))
    numbers = generator.z_dim + sum(height * width for height, width in generator.noise_shapes)
    files = stored(size)

    def reconstruct() -> Tensor:
        seen = network(picture)
        return seen.texture.mean() + seen.vertices.square().mean()

    def compare() -> Tensor:
        return distance(picture.clone().requires_grad_(), picture).mean()

    rendered = milliseconds(lambda: passes.backward(passes.forward()), rounds + 2) / 8
    drawn = milliseconds(lambda: random_numbers(0, 1, 2).standard_normal(numbers, dtype="float32"), rounds + 2)
    return PictureCosts(
        size,
        generator=part(lambda: generator.synthesize(styles), rounds, backward=False),
        segmenter=part(lambda: segmenter.probability(picture), rounds, backward=False),
        network=part(reconstruct, rounds),
        render=Part(rendered),
        perceptual=part(compare, rounds),
        draw=Part(drawn),
        decode=Part(milliseconds(lambda: [decoded_pixels(file) for file in files], rounds + 2)),
        generator_parameters=sum(p.numel() for p in generator.parameters()),
        network_parameters=sum(p.numel() for p in network.parameters()),
        stored_bytes=float(sum(len(file) for file in files)),
    )


def paper_generator(size: int) -> PaperStyleGAN2Config:
    """StyleGAN2 config-f for this resolution (Karras et al. 2020a)."""
    sides = [4 * 2**level for level in range(int(math.log2(size)) - 1)]
    return PaperStyleGAN2Config(
        resolution=size,
        z_dim=512,
        w_dim=512,
        mapping_layers=8,
        channels=tuple(min(32768 // side, 512) for side in sides),
        view_layers=4,
        noise="random",
    )


def part(work: Callable[[], Tensor], rounds: int, *, backward: bool = True) -> Part:
    """Time, operations and memory of work whose result is a loss (backward) or a picture (forward only)."""
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def whole() -> None:
        result = work()
        if backward:
            result.backward()

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        whole()
    return Part(milliseconds(whole, rounds), float(counter.get_total_flops()), float(sum(saved.values())))


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """CPU time of one call, the smallest of `rounds`."""
    best = math.inf
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, 1000 * (time.process_time() - start))
    return best


def stored(size: int) -> list[bytes]:
    """PNG files of one car-world image and its mask, as shards hold them."""
    world = CarWorldGenerator(size)
    image, mask, _ = world.render_truth(world.styles(world.map(latents(0, range(1), world.z_dim))))
    pictures = [to_pil(image[0]), to_pil(mask[0].expand(3, -1, -1)).convert("L")]
    files = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, format="png")
        files.append(buffer.getvalue())
    return files


def machine() -> str:
    """Where it was measured."""
    return f"{processor()}, one thread, float32, torch {torch.__version__}"


def processor() -> str:
    """Its name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all sizes and write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="file for the costs")
    parser.add_argument("--sizes", type=int, nargs="+", default=sorted(CHANNELS), choices=sorted(CHANNELS))
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    costs = []
    for size in options.sizes:
        costs.append(asdict(measure(size, options.rounds)))
        options.json.write_text(json.dumps({"machine": machine(), "costs": costs}, indent=1) + "\n")
        timed = {name: made["cpu_ms"] for name, made in costs[-1].items() if isinstance(made, dict)}
        print(f"{size} px: " + ", ".join(f"{name} {value:.1f} ms" for name, value in timed.items()))


if __name__ == "__main__":
    main()
