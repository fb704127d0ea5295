"""What must hold on a GPU: tests, Warp against the reference, two processes against one; and the renderer's time."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor

from benchmarks import renderer, training
from benchmarks.gpu.sizes import Sizes
from benchmarks.renderer_scene import Scene, ellipsoid_scene
from benchmarks.scaling import torchrun
from ganverse.rendering import dibr_rasterization
from ganverse.rendering.backends import Backend
from ganverse.tasks.inverse_graphics import PerceptualSettings
from tests.ports import reserved_port
from tests.tasks import test_processes, toys

Record = dict[str, Any]


def machine(device: torch.device) -> Record:
    """Names, versions, and what the device reaches: copying (bytes read and written) and multiplying matrices."""
    cuda = device.type == "cuda"
    numbers = torch.empty(2**28 if cuda else 2**24, device=device)
    copied = _seconds(lambda: numbers.clone(), device)
    found = {
        "name": torch.cuda.get_device_name(device) if cuda else "CPU",
        "memory_gb": torch.cuda.get_device_properties(device).total_memory / 1e9 if cuda else None,
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "copy_gb_per_s": 2 * numbers.numel() * 4 / copied / 1e9,
    }
    side = 8192 if cuda else 512
    for dtype in (torch.bfloat16, torch.float32):
        matrix = torch.randn(side, side, device=device).to(dtype)
        seconds = _seconds(lambda matrix=matrix: matrix @ matrix, device)
        found[f"{str(dtype).removeprefix('torch.')}_tflops"] = 2 * side**3 / seconds / 1e12
    return found


def _seconds(work: Any, device: torch.device, rounds: int = 10) -> float:
    """Of the fastest of `rounds` calls."""
    return training.smallest_times({"work": work}, rounds, device)["work"] / 1000


def tests() -> Record:
    """`pytest -m requires_cuda` on the files that have such tests."""
    files = [str(path) for path in Path("tests").rglob("test_*.py") if "requires_cuda" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "requires_cuda", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode not in (0, 5):  # 5: no test was left
        raise SystemExit("\n".join(lines[-40:]))
    return {"status": done.returncode, "summary": lines[-1]}


def agreement(sizes: Sizes, device: torch.device) -> list[Record]:
    """Warp against the reference: share of the pixels that show another face, largest differences of all others.

    Differences are relative to the largest value of the image, the mask and the gradients.
    """
    records = []
    for faces in sizes.faces:
        scene = ellipsoid_scene(renderer.SUBDIVISIONS[faces], 2, 64, device)
        (found, index), (expected, true_index) = (_rendered(scene, name) for name in ("warp", "reference"))
        same = index == true_index
        record = {"other_faces": 1 - same.float().mean().item()}
        for name, value in expected.items():
            gap = (found[name] - value).abs() * (same[..., None] if name == "image" else 1)
            record[name] = (gap.max() / value.abs().max()).item()
        if not max(record.values()) < 1e-3:
            raise SystemExit(f"expected Warp to agree with the reference to 1e-3 at {faces} faces, got {record}")
        records.append({"faces": faces, **record})
    return records


def _rendered(scene: Scene, backend: Backend) -> tuple[dict[str, Tensor], Tensor]:
    corners, features = scene.corners.clone().requires_grad_(), scene.features.clone().requires_grad_()
    image, mask, index = dibr_rasterization(
        scene.size, scene.size, scene.z, corners, features, scene.winding, rast_backend=backend
    )
    torch.autograd.backward((image, mask), (scene.grad_features, scene.grad_mask))
    values = {"image": image, "mask": mask, "corners_gradient": corners.grad, "features_gradient": features.grad}
    return {name: value.detach() for name, value in values.items()}, index


def rendering(sizes: Sizes, device: torch.device, copy_gb_per_s: float) -> list[Record]:
    """Warp's time, forward and backward, against that of moving once what it must read and write."""
    makers = renderer.contenders(["warp"], device)
    records = []
    for faces in sizes.faces:
        for size in sizes.pixels:
            scene = ellipsoid_scene(renderer.SUBDIVISIONS[faces], sizes.renders, size, device)
            for row in renderer.measure(makers, scene, seconds=2.0, most_rounds=100):
                bound = moved_bytes(row.passes, faces, size) / copy_gb_per_s / 1e6
                records.append({**row.as_json(), "bound_ms": bound, "times_bound": row.wall_ms / bound})
    return records


def moved_bytes(passes: str, faces: int, size: int) -> int:
    """What one image must move at least, three features a corner.

    Forward: positions, depths, features (72 bytes a face) in; features, index, depth, mask, state (32 bytes a pixel)
    and slopes (24 a face) out. Backward: two gradients, index, mask, state (32 a pixel), positions and slopes (48 a
    face) in; gradients of positions and features (60 a face) out.
    """
    forward = 32 * size**2 + 96 * faces
    return forward if passes == "forward" else forward + 32 * size**2 + 108 * faces


def processes(folder: Path, device: torch.device) -> Record:
    """Weights after five steps in float64: one process under DDP, and two over gloo, against one without.

    The backend of the first is NCCL on CUDA. Both of the two use the same device.
    """
    files = toys.save_files(folder)
    alone = _apart(folder, device, files, "auto", 1)
    under = "nccl" if device.type == "cuda" else "gloo"
    found = {
        f"{under}, 1 process": _apart(folder, device, files, under, 1),
        "gloo, 2": _apart(folder, device, files, "gloo", 2),
    }
    gaps = {name: max(toys.differences(weights, alone).values(), default=0.0) for name, weights in found.items()}
    if max(gaps.values()) > 1e-6:
        raise SystemExit(f"expected the weights of one process, got differences of {gaps}")
    return gaps


def _apart(folder: Path, device: torch.device, files: toys.Files, backend: str, count: int) -> dict[str, Tensor]:
    """Trains in `count` processes of their own; the weights of the first."""
    with reserved_port() as port:
        started = []
        for rank in range(count):
            # two nodes with one process each: both then take the first device
            place = {} if backend == "auto" else torchrun(rank, port)
            place |= {"WORLD_SIZE": str(count), "LOCAL_RANK": "0", "GROUP_RANK": str(rank)} if place else {}
            command = [
                sys.executable,
                "-m",
                "benchmarks.gpu.run",
                "--device",
                str(device),
                "--train",
                str(folder),
                backend,
            ]
            started.append(subprocess.Popen([*command, str(count)], env={**os.environ, **place, "PL_GLOBAL_SEED": "0"}))
        try:
            codes = [process.wait() for process in started]
        finally:
            for process in started:
                process.kill()
    if any(codes):
        raise SystemExit(f"expected {count} processes over {backend} to train, got the exit codes {codes}")
    ranks = [torch.load(folder / f"{count}-{rank}.pt", weights_only=True, map_location="cpu") for rank in range(count)]
    if any(toys.differences(ranks[0], other) for other in ranks[1:]):
        raise SystemExit("expected the same weights in all processes, got different ones")
    return ranks[0]


def train(folder: Path, device: torch.device, backend: str, count: int) -> None:
    """Five steps of a tiny inverse network with eight objects each, in float64; this process is one of `count`."""
    names = ("toy", "any-segmenter", "inverse")
    files = toys.Files(*(folder / f"{name}.safetensors" for name in names))
    trainer = toys.trainer(
        folder,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        num_nodes=count,
        strategy="auto" if backend == "auto" else DDPStrategy(process_group_backend=backend),
        precision="64-true",
        max_epochs=1,
        limit_train_batches=test_processes.STEPS,
        limit_val_batches=0,
        callbacks=[test_processes.Keep(folder)],
    )
    data = toys.stream(files, test_processes.OBJECTS // count, test_processes.DoubleStream)
    test_processes.inverse_graphics.PerceptualDistance = toys.PlainDistance
    half = PerceptualSettings(start=0.0, renders=2 * test_processes.OBJECTS // count)
    trainer.fit(toys.inverse(images=1000, ema_half_life=40.0, perceptual=half), datamodule=data)
