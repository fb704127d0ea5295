"""Clusters: how many processes torchrun or SLURM has started, and a job that goes back into the queue in time."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from dataclasses import dataclass

from pytorch_lightning.plugins.environments import SLURMEnvironment

REQUEUE_SIGNAL = signal.SIGUSR1
"""What `#SBATCH --signal=USR1@SECONDS` sends before the time is over. SIGTERM, which scancel sends too, only saves."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Launch:
    """Processes that were started from outside. per_node: on every machine. by: torchrun or srun."""

    per_node: int
    nodes: int
    by: str


def launched() -> Launch | None:
    """How this process was started together with others; None if it was not (it may then start others itself)."""
    local, world = os.environ.get("LOCAL_WORLD_SIZE"), os.environ.get("WORLD_SIZE")
    if local and world:
        return Launch(int(local), int(world) // int(local), "torchrun")
    tasks = os.environ.get("SLURM_NTASKS")
    if not tasks or "SLURM_PROCID" not in os.environ or os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return None
    nodes = int(os.environ.get("SLURM_NNODES") or 1)
    return Launch(int(tasks) // nodes, nodes, "srun")


def slurm_environment() -> SLURMEnvironment | None:
    """For the Trainer's plugins: SLURM without Lightning's own requeueing, which saves in the middle of a batch."""
    launch = launched()
    return SLURMEnvironment(auto_requeue=False) if launch is not None and launch.by == "srun" else None


def in_job() -> bool:
    """Whether this process belongs to a SLURM job."""
    return "SLURM_JOB_ID" in os.environ


def requeue() -> None:
    """Puts this SLURM job back into the queue; SLURM then ends it. A warning where that does not work."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        log.warning("job %s could not be requeued (%s); submit it again, it goes on where it stopped", job, said)
        return
    log.info("job %s goes back into the queue; everything is saved", job)
