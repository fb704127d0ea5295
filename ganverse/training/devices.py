"""What a run computes on, and how it may be asked for: CPU or GPU, one process or many, precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from ganverse.errors import GanverseError
from ganverse.training.cluster import launched
from ganverse.training.progress import ProgressStyle

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class TrainerSettings:
    """Where and how a stage runs; none of it changes what is learned, apart from precision.

    accelerator: "auto" takes a GPU where there is one.
    devices: processes on this machine, one per GPU; "auto" takes those that torchrun or srun has started, else all
        GPUs, or one CPU process.
    nodes: machines of a cluster; "auto" takes those of torchrun or srun, else one.
    precision: "auto" is bfloat16 on GPUs that have it, and float32 elsewhere, CPUs without bfloat16 units included.
    threads: CPU threads of each process; null leaves it to torch.
    checkpoint_minutes: at most this much work is lost when the run is killed.
    picture_minutes: time between two sets of pictures in samples/.
    log_every: steps between two lines of metrics.jsonl.
    logger: "files" writes metrics.jsonl and pictures; "wandb" sends both to Weights & Biases too (see `wandb_mode`).
    progress: "auto" is a bar on a terminal and plain lines elsewhere.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int | Literal["auto"] = "auto"
    nodes: int | Literal["auto"] = "auto"
    precision: Precision = "auto"
    threads: int | None = None
    checkpoint_minutes: float = 10.0
    picture_minutes: float = 10.0
    log_every: int = 10
    logger: Literal["files", "wandb"] = "files"
    progress: ProgressStyle = "auto"

    def __post_init__(self) -> None:
        for name in ("devices", "nodes", "threads", "log_every"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise GanverseError(f"expected trainer.{name} to be at least 1, got {value}; correct the setting")
        for name in ("checkpoint_minutes", "picture_minutes"):
            if not getattr(self, name) > 0:
                raise GanverseError(f"expected trainer.{name} above 0, got {getattr(self, name)}; correct the setting")


@dataclass(frozen=True)
class Devices:
    """What a run computes on: Lightning's names, one line for people, and machines."""

    accelerator: Literal["cpu", "gpu"]
    count: int
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    description: str
    nodes: int = 1


def choose_devices(settings: TrainerSettings) -> Devices:
    """Resolves every "auto" on this machine.

    Raises:
        GanverseError: GPUs are asked for that are not there.
    """
    gpus = torch.cuda.device_count()
    accelerator: Literal["cpu", "gpu"] = "gpu" if gpus and settings.accelerator != "cpu" else "cpu"
    if settings.accelerator == "gpu" and not gpus:
        raise GanverseError("expected a CUDA GPU, torch finds none; leave --trainer.accelerator away or ask for cpu")
    launch, alone = launched(), gpus if accelerator == "gpu" else 1
    count = settings.devices if settings.devices != "auto" else launch.per_node if launch is not None else alone
    nodes = settings.nodes if settings.nodes != "auto" else launch.nodes if launch is not None else 1
    if accelerator == "gpu" and count > gpus:
        raise GanverseError(f"expected at most {gpus} devices, one per GPU, got --trainer.devices {count}")
    precision = settings.precision if settings.precision != "auto" else _precision(accelerator)
    name = (
        torch.cuda.get_device_name()
        if accelerator == "gpu"
        else f"CPU ({settings.threads or torch.get_num_threads()} threads)"
    )
    processes = count * nodes
    text = f"{name}, {precision}" + (f", {processes} processes" if processes > 1 else "")
    return Devices(accelerator, count, precision, text, nodes)


def _precision(accelerator: Literal["cpu", "gpu"]) -> Literal["32-true", "bf16-mixed"]:
    if accelerator == "gpu":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if _cpu_has_bf16_units() else "32-true"


def _cpu_has_bf16_units() -> bool:
    """AMX tiles; emulated bfloat16 is slower than float32."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def is_first_process() -> bool:
    """Whether this process writes files and speaks; known before and after the processes have found each other."""
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0
