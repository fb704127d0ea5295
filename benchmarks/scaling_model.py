"""What a training at the paper's scale needs, on paper: time, memory and traffic from the costs of one picture.

The costs are measured (`benchmarks/scaling_costs.json`); what a GPU makes of them is assumed, here and nowhere else.
`benchmarks.scaling_page` writes docs/scaling.md from it. No GPU was used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.scaling_costs import Part, PictureCosts

COSTS = Path(__file__).with_name("scaling_costs.json")
OBJECTS, VIEWS_EACH = 55_429, 39
IMAGES = OBJECTS * VIEWS_EACH
PICTURES = 3_200_000
"""The paper's training: 200 000 steps of 16 pictures."""
VIEWS = 2
"""Of an object in one sample; each is rendered from each (eq. 2)."""
BATCH = 16
"""Pictures per GPU and step."""
KEPT = 0.9
"""Share of images that pass the filter; the others are made in vain. Assumed; the manifest of a run states its own."""
GPUS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Cluster:
    """Assumptions about the hardware. Rates in bytes or operations per second, per GPU unless said otherwise.

    peak: dense bfloat16. efficiency: share of it that these convolutions reach. memory: bytes of a GPU. renderer: how
    many times faster than one CPU thread a GPU draws. per_node: GPUs of a node. inside, between: all-reduce bandwidth
    within a node, and of a node's network. launch: seconds of a step that no GPU shortens (Python, kernel launches).
    cores: CPU cores per GPU. objects: reading from object storage, per node.
    """

    peak: float = 312e12
    efficiency: float = 0.25
    memory: float = 80e9
    renderer: float = 50.0
    per_node: int = 8
    inside: float = 230e9
    between: float = 20e9
    launch: float = 0.03
    cores: int = 8
    objects: float = 0.5e9


A100 = Cluster()
V100 = replace(A100, peak=15.7e12, memory=32e9, inside=120e9)
"""What the paper trained on, four of them; float32. NVIDIA's data sheet; about what nccl-tests report on NVLink."""
PAPER_GPUS, PAPER_HOURS = 4, 120.0


@dataclass(frozen=True)
class Step:
    """Seconds of one step on one GPU, part by part."""

    generate: float
    network: float
    render: float
    perceptual: float
    all_reduce: float
    launch: float
    cpu: float

    @property
    def seconds(self) -> float:
        """The whole step: the CPU works beside the GPU, everything else adds up (nothing is assumed to overlap)."""
        gpu = self.generate + self.network + self.render + self.perceptual + self.all_reduce + self.launch
        return max(gpu, self.cpu)


def load_costs(path: Path = COSTS) -> tuple[str, dict[int, PictureCosts]]:
    """The machine it was measured on, and the costs by resolution."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    made = {}
    for record in stored["costs"]:
        parts = {key: Part(**value) if isinstance(value, dict) else value for key, value in record.items()}
        made[record["size"]] = PictureCosts(**parts)
    return stored["machine"], made


def step(costs: PictureCosts, gpus: int, cluster: Cluster = A100, *, shards: bool = False, batch: int = BATCH) -> Step:
    """One step of `batch` pictures on each of `gpus`. shards: pictures are read and decoded, not made."""
    made = 0.0 if shards else batch / KEPT
    renders = batch * VIEWS
    on_cpu = batch * costs.decode.cpu_ms if shards else made / VIEWS * costs.draw.cpu_ms
    return Step(
        generate=made * _seconds(costs.generator.flops + costs.segmenter.flops, cluster),
        network=batch * _seconds(costs.network.flops, cluster),
        render=renders * costs.render.cpu_ms / 1000 / cluster.renderer,
        perceptual=renders * _seconds(costs.perceptual.flops, cluster),
        all_reduce=all_reduce(4.0 * costs.network_parameters, gpus, cluster),
        launch=cluster.launch,
        cpu=on_cpu / 1000 / (cluster.cores if shards else 1),
    )


def all_reduce(size: float, gpus: int, cluster: Cluster = A100) -> float:
    """Seconds of a ring all-reduce of `size` bytes: within a node, and then between the nodes."""
    local, nodes = min(gpus, cluster.per_node), -(-gpus // cluster.per_node)
    return 2 * size * ((local - 1) / local / cluster.inside + (nodes - 1) / nodes / cluster.between)


def training_hours(costs: PictureCosts, gpus: int, cluster: Cluster = A100, *, shards: bool = False) -> float:
    """Of `PICTURES` pictures, whatever the number of GPUs."""
    return PICTURES / (BATCH * gpus) * step(costs, gpus, cluster, shards=shards).seconds / 3600


def paper_hours(costs: PictureCosts) -> float:
    """What this model says of the paper's own training: 16 pictures a step over four V100, read from files."""
    one = step(costs, PAPER_GPUS, V100, shards=True, batch=16 // PAPER_GPUS)
    return PICTURES / 16 * one.seconds / 3600


def generation_hours(costs: PictureCosts, gpus: int, cluster: Cluster = A100) -> float:
    """Of every object in every view, once, PNG files included: GPU and CPU work side by side."""
    gpu = IMAGES / KEPT * _seconds(costs.generator.flops + costs.segmenter.flops, cluster)
    cpu = IMAGES * ENCODE * costs.decode.cpu_ms / 1000 / cluster.cores
    return max(gpu, cpu) / gpus / 3600


ENCODE = 5.0
"""Writing a PNG file takes about this many times as long as reading it (assumed)."""


def memory(costs: PictureCosts) -> dict[str, float]:
    """Bytes on one GPU with `BATCH` pictures a step.

    training state: weights, gradients and Adam's two averages in float32. backward: what the backward pass keeps,
    measured in float32 and halved. frozen: generator and perceptual network in float32. generating: `LIVE` of the
    widest layer's feature maps for a block of 16 images.
    """
    widest = max(
        min(32768 // side, 512) * side**2 for side in (2**level for level in range(2, 10)) if side <= costs.size
    )
    return {
        "training state": 16.0 * costs.network_parameters,
        "backward": 0.5 * BATCH * (costs.network.saved_bytes + VIEWS * costs.perceptual.saved_bytes),
        "frozen": 4.0 * costs.generator_parameters + 60e6,
        "generating": LIVE * 16 * 4.0 * widest,
    }


LIVE = 4
"""Copies of a feature map that exist at once: input, modulated, output, blurred."""


def read_rate(costs: PictureCosts, gpus: int, cluster: Cluster = A100) -> float:
    """Bytes per second that a training from shards reads, over all GPUs."""
    return gpus * BATCH * costs.stored_bytes / step(costs, gpus, cluster, shards=True).seconds


def _seconds(flops: float, cluster: Cluster) -> float:
    return flops / (cluster.peak * cluster.efficiency)
