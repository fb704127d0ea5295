"""Memory of one training step of every stage with a config-f generator: `python -m benchmarks.memory`.

All weights are random; the inverse network is that of configs/paper/car-inverse.yaml; objects have two views. First an
estimate of a GPU's memory with `--batch` objects, in float32: the storages of tensors without values (FakeTensorMode)
are counted as they come and go, weights, gradients and the optimizer's state included; the allocator's gaps and cuDNN's
work space come on top. (torch's MemTracker stops at networks that are called twice or are frozen.) Then what
`--objects` objects take on this CPU beyond the weights, measured, with the CPU seconds of the step.
"""

import argparse
import ctypes
import gc
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from ganverse.batch import MultiViewBatch
from ganverse.generators.stylegan2 import StyleGAN2Config
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config, PaperStyleGAN2Generator
from ganverse.inverse.network import InverseNetworkConfig
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.masks.segmenter import Segmenter
from ganverse.neural_renderer.objective import DisentangleWeights, cycle_terms, mapping_terms
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scene_swaps import ProcessSlice, swap
from ganverse.neural_renderer.settings import DisentangleSettings
from ganverse.neural_renderer.training_scenes import FrozenNetworks, read_training_scene
from ganverse.rendering.scene import Rasterization, SoftMaskSettings, Triangles
from ganverse.tasks.image_gan import GrowthState, ImageGAN, r1_penalty
from ganverse.tasks.inverse_graphics import InverseGraphics, PerceptualSettings

STAGES = ("image GAN", "generate", "inverse", "mapping", "fine-tuning")
VIEWS, BLOCK = 39, 16
PAPER = InverseNetworkConfig(channels=(48, 96, 160, 256, 384, 512), resolution=512, texture_size=256)


def build(stage: str, resolution: int) -> nn.ModuleDict:
    """The networks of a stage; `trained` are those that the optimizer has."""
    channels = tuple(min(32768 // (4 << k), 512) for k in range(resolution.bit_length() - 2))
    if stage == "image GAN":
        return nn.ModuleDict({"trained": ImageGAN(StyleGAN2Config(resolution, 512, 512, 8, channels))})
    gan = PaperStyleGAN2Generator(PaperStyleGAN2Config(resolution, 512, 512, 8, channels)).requires_grad_(False)
    perceptual = PerceptualSettings(start=0.0, renders=32, stages=5)
    azimuths = [360 / VIEWS * view for view in range(VIEWS)]
    inverse = InverseGraphics(PAPER, perceptual=perceptual, azimuth_degrees=azimuths)
    inverse.images_seen = inverse.images - 1
    parts: dict[str, nn.Module] = {"gan": gan, "segmenter": Segmenter().eval(), "inverse": inverse}
    if stage == "generate":
        return nn.ModuleDict({name: parts[name] for name in ("gan", "segmenter")})
    if stage == "inverse":
        return nn.ModuleDict({"trained": inverse, "perceptual": PerceptualDistance(stages=5)})
    renderer = StyleGANR(gan, range(sum(gan.style_sizes[:4])), vertices=642, texture_size=PAPER.texture_size)
    return nn.ModuleDict({**parts, "trained": renderer, "perceptual": PerceptualDistance()})


def step_of(stage: str, parts: nn.ModuleDict, objects: int) -> Callable[[], object]:
    """One step."""
    made: Any = parts
    if stage == "image GAN":
        return _gan_step(made["trained"], 2 * objects)
    if stage == "generate":
        return lambda: _generate(made, min(2 * objects, BLOCK))
    batch, trained = _batch(made, objects), made["trained"]
    if stage == "inverse":
        trained._frozen = (made["perceptual"],)
        optimizer = trained.configure_optimizers()["optimizer"]
        return lambda: _descend(trained.step(batch).losses.total(trained.weights), optimizer)
    networks = FrozenNetworks(
        made["inverse"].network, made["inverse"].cameras, made["segmenter"], made["perceptual"], made["gan"]
    )
    optimizer = torch.optim.Adam([p for p in trained.parameters() if p.requires_grad], 1e-5)
    weights, settings = DisentangleWeights(), DisentangleSettings()

    def step() -> None:
        scene = read_training_scene(batch, networks, views=None if stage == "mapping" else 1)
        if stage == "mapping":
            terms = mapping_terms(trained, scene)
        else:
            chance = torch.rand(len(scene), 5)
            swapped = swap(scene, networks.cameras.all(), chance, ProcessSlice(len(scene)))
            terms = cycle_terms(trained, networks, scene, swapped, weights, settings).terms
        _descend(weights.total(terms), optimizer)

    return step


def _batch(parts: Any, objects: int) -> MultiViewBatch:
    side = PAPER.resolution
    styles = sum(parts["gan"].style_sizes) if "gan" in parts else 1
    return MultiViewBatch(
        torch.rand(objects, 2, 3, side, side),
        torch.rand(objects, 2, 1, side, side).round(),
        torch.arange(2 * objects).view(objects, 2) % VIEWS,
        torch.arange(objects),
        torch.randn(objects, 2, styles),
    )


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


@torch.no_grad()
def _generate(parts: Any, images: int) -> None:
    gan = parts["gan"]
    parts["segmenter"].probability(gan.synthesize(gan.styles(gan.map(torch.randn(images, gan.z_dim)))))


def _gan_step(task: ImageGAN, images: int) -> Callable[[], object]:
    """With R1, as every sixteenth step."""
    optimizers = task.configure_optimizers()[0]
    side = task.generator.resolution
    state, real = GrowthState(side, 1.0, 1.0), torch.rand(images, 3, side, side, requires_grad=True)

    def step() -> None:
        fake, _ = task._synthesize(0, images, state)
        (F.softplus(task.discriminator(fake.detach()))).mean().backward()
        logits = task.discriminator(real)
        _descend(F.softplus(-logits).mean() + r1_penalty(logits, real), optimizers[1])
        task.discriminator.requires_grad_(False)
        _descend(F.softplus(-task.discriminator(fake)).mean(), optimizers[0])
        task.discriminator.requires_grad_(True)

    return step


def estimated_megabytes(stage: str, resolution: int, objects: int) -> float:
    """Peak of a step on a GPU, weights included."""
    parts, mode = build(stage, resolution), FakeTensorMode(allow_non_fake_inputs=True)
    with FakeCopyMode(mode):
        parts = deepcopy(parts)
    peak = Storages()
    for tensor in (*parts.parameters(), *parts.buffers()):
        peak.count(tensor)
    with mode, _without_values(), peak:
        step_of(stage, parts, objects)()
    return peak.most / 1e6


class Storages(TorchDispatchMode):
    """Bytes of all storages that are alive; most: at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, Tensor):
                self.count(tensor)
        return made

    def count(self, tensor: Tensor) -> None:
        """A tensor that is made now."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._known:
            self._known.add(storage._cdata)
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())

    def _gone(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.now -= size


@contextmanager
def _without_values() -> Iterator[None]:
    """Where the renderer would ask for values, it goes the way of a GPU, with the buffers of Warp's backend."""

    class OnCuda(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func == Tensor.is_cuda.__get__ or func(*args, **(kwargs or {}))

    with ExitStack() as stack:
        stack.enter_context(patch("ganverse.rendering.rasterization.implementation", lambda *_: Buffers))
        stack.enter_context(OnCuda())
        yield


class Buffers(torch.autograd.Function):
    """The tensors that Warp's backend makes and keeps."""

    @staticmethod
    def rasterize(scene: Triangles, height: int, width: int, soft_mask: SoftMaskSettings | None) -> Rasterization:
        """See `backends.Implementation`."""
        index = torch.empty(len(scene.corners), height, width, dtype=torch.int64)
        features, depth, mask = Buffers.apply(scene.corners.contiguous(), scene.features.contiguous(), index)
        return Rasterization(features, index, depth, mask)

    @staticmethod
    def forward(ctx: Any, corners: Tensor, values: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        depth, mask, states = (torch.empty_like(index, dtype=t) for t in (torch.float32, torch.float32, torch.int32))
        slopes = values.new_empty(*values.shape[:2], 2, values.shape[3])
        ctx.save_for_backward(corners, values, index, slopes, states, mask)
        ctx.mark_non_differentiable(depth)
        return values.new_empty(*index.shape, values.shape[3]), depth, mask

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, Tensor, None]:
        return torch.empty_like(ctx.saved_tensors[0]), torch.empty_like(ctx.saved_tensors[1]), None


def peak_megabytes(work: Callable[[], object], device: torch.device) -> float | None:
    """Peak memory of `work` in MB: resident pages on Linux, torch's allocations on CUDA, None elsewhere."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    status, marks = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not marks.exists():
        return None
    ctypes.CDLL(None).malloc_trim(0)  # what earlier work freed counts again
    marks.write_text("5")  # the peak starts again from here
    before = _kilobytes(status, "VmRSS")
    work()
    return (_kilobytes(status, "VmHWM") - before) * 1024 / 1e6


def _kilobytes(status: Path, key: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(key))


def main(arguments: Sequence[str] | None = None) -> None:
    """Estimate, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=512, help="of the generator, a power of two (%(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="objects in the estimate (default: %(default)s)")
    parser.add_argument(
        "--objects", type=int, default=2, help="objects in the measurement; 0 omits it (default: %(default)s)"
    )
    parser.add_argument("--stages", nargs="*", choices=STAGES, default=STAGES)
    given = parser.parse_args(arguments)
    measured = {}
    for stage in given.stages if given.objects else ():  # first: caches must not hold tensors without values
        step = step_of(stage, build(stage, given.resolution), given.objects)
        gc.collect()  # what an earlier stage left must not make room now
        start = time.process_time()
        peak = peak_megabytes(step, torch.device("cpu")) or 0.0
        seconds = time.process_time() - start
        measured[stage] = f"; {given.objects} objects on this CPU: {peak / 1e3:.2f} GB, {seconds:.1f} s"
    for stage in given.stages:
        estimated = estimated_megabytes(stage, given.resolution, given.batch) / 1e3
        print(f"{stage:>12}: {estimated:6.1f} GB estimated{measured.get(stage, '')}", flush=True)


if __name__ == "__main__":
    main()
