"""Where a step of stage 2 goes: `python -m benchmarks.training [--config FILE.yaml] [--rounds N]`.

Prints the renderer's share of a training step, and what streaming costs beyond the GAN's own forward pass: random
numbers, styles, the filter, 8-bit rounding (masks are counted apart). Everything is measured by itself on the same
batch, in turns, CPU time (user + system, the smallest of all rounds) on a CPU, wall time on a GPU. Milliseconds are
per step. `--json FILE` writes the numbers.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ganverse.data.multi_view import MultiViewStream
from ganverse.data.sampling import MultiViewSampler
from ganverse.rendering import render
from ganverse.tasks.inverse_graphics import InverseGraphics
from ganverse.training.cli import GanverseCLI, quieten

MOST_RENDERER, MOST_STREAMING = 0.15, 0.05
"""Aims: shares of a step and of the GAN's own forward pass."""


@dataclass(frozen=True)
class StepTimes:
    """Milliseconds. step: forward, backward and optimizer. render: its renderer alone, forward and backward.

    stream: drawing the samples of a step. gan: the generator's forward passes within. masks: the masker's within.
    """

    step: float
    render: float
    stream: float
    gan: float
    masks: float

    @property
    def renderer_share(self) -> float:
        """Of the training step, samples included."""
        return self.render / (self.step + self.stream)

    @property
    def streaming_overhead(self) -> float:
        """What is neither generator nor masks, over the generator's own time."""
        return max(0.0, self.stream - self.gan - self.masks) / self.gan


def measure(
    model: InverseGraphics, data: MultiViewStream, *, rounds: int, device: torch.device | str, half: bool = False
) -> StepTimes:
    """Times a step of `model`, late in training: the perceptual loss is on, silhouettes are sharp.

    half: the forward pass in bfloat16 where autocast allows it. Samples are always drawn in float32.
    """
    sampler = data.sampler.to(device)
    indices = torch.arange(data.batch_size)
    drawn = sampler.draw(indices).batch.to(device)
    model.configure_model()
    task = model.to(device).train()
    task.on_fit_start()
    task.images_seen = task.images - 1
    optimizer = task.configure_optimizers()["optimizer"]

    def step() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
            loss = task.step(drawn).losses.total(task.weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    parts: dict[str, Callable[[], object]] = {
        "step": step,
        "render": _renders(task, drawn.images.flatten(0, 1), drawn.view_ids.flatten(), drawn.images.shape[1]),
        "stream": lambda: sampler.draw(indices),
        **_inside_stream(sampler, drawn.styles.flatten(0, 1), drawn.images.flatten(0, 1)),
    }
    return StepTimes(**smallest_times(parts, rounds, torch.device(device)))


def _renders(task: InverseGraphics, images: torch.Tensor, view_ids: torch.Tensor, views: int) -> Callable[[], object]:
    """All renders of a step (every view's prediction seen from every view), with gradients."""
    with torch.no_grad():
        seen = task.network(images).repeat_interleave(views)
        cameras = task.cameras(view_ids).repeat_interleave(views)
    vertices, texture = seen.vertices.requires_grad_(), seen.texture.requires_grad_()
    mesh = task.network.mesh(seen)

    def draw() -> None:
        vertices.grad = texture.grad = None
        drawn = render(mesh, texture, cameras, seen.light, images.shape[-1])
        (drawn.rgb.sum() + drawn.alpha.sum()).backward()

    return draw


def _inside_stream(
    sampler: MultiViewSampler, styles: torch.Tensor, images: torch.Tensor
) -> dict[str, Callable[[], object]]:
    """The generator and the masker on a step's pictures, in blocks as the sampler works."""
    size, masker, generator = sampler.settings.block, sampler.masker, sampler.generator

    @torch.no_grad()
    def gan() -> None:
        for block in styles.split(size):
            generator.synthesize(block)

    @torch.no_grad()
    def masks() -> None:
        for block in images.split(size):
            if masker is not None:
                masker(block)

    return {"gan": gan, "masks": masks}


def smallest_times(parts: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Smallest milliseconds of every part; a first round warms up."""
    best = dict.fromkeys(parts, float("inf"))
    for turn in range(rounds + 1):
        for name, part in parts.items():
            spent = _time(part, device)
            if turn > 0:
                best[name] = min(best[name], spent)
    return best


def _time(part: Callable[[], object], device: torch.device) -> float:
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = clock()
    part()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 1000 * (clock() - began)


def main(arguments: Sequence[str] | None = None) -> StepTimes:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/car/inverse.yaml"), help="of InverseGraphics")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions; the minimum counts")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, help="output file")
    options, settings = parser.parse_known_args(arguments)
    quieten()
    cli = GanverseCLI(["--config", str(options.config), *settings], run=False)
    cli.model.trainer, cli.trainer.datamodule = cli.trainer, cli.datamodule
    found = measure(cli.model, cli.datamodule, rounds=options.rounds, device=options.device)
    for name, value in asdict(found).items():
        print(f"{name:>8}: {value:8.1f} ms")
    print(f"renderer: {found.renderer_share:.1%} of a step (aim: at most {MOST_RENDERER:.0%})")
    print(
        f"streaming: {found.streaming_overhead:.1%} over the GAN's own forward pass (aim: at most {MOST_STREAMING:.0%})"
    )
    if options.json is not None:
        shares = {"renderer_share": found.renderer_share, "streaming_overhead": found.streaming_overhead}
        options.json.write_text(json.dumps({**asdict(found), **shares}, indent=2) + "\n")
    return found


if __name__ == "__main__":
    main()
