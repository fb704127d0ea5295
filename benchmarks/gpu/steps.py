"""A training step of every stage as its configuration has it: images a second, where the time goes, peak memory."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import training
from benchmarks.gpu.sizes import Sizes, save_config_f
from benchmarks.memory import peak_megabytes
from benchmarks.scaling import pictures
from ganverse.tasks import register
from ganverse.training.cli import GanverseCLI, quieten

WARM_UP, PROFILED = 3, 3
"""Steps before the clock runs, and steps that are profiled after it has stopped."""
ENDLESS = 10**12
CONFIGS = Path(__file__).parents[2] / "configs"
PRECISIONS = ("bf16-mixed", "32-true")
Record = dict[str, Any]


class StepClock(pl.Callback):
    """Wall time of `steps` steps after warm-up, and how long the device works in a step.

    The device is waited for at both ends only, so that its work overlaps with the host's as in a training.
    """

    def __init__(self, steps: int, device: torch.device) -> None:
        self.steps, self.device = steps, device
        self.began = self.milliseconds = self.busy = 0.0
        self.profiler: profile | None = None

    @property
    def total(self) -> int:
        """Steps to be made."""
        return WARM_UP + self.steps + PROFILED

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """Starts and stops the clock."""
        if batch_idx == WARM_UP:
            self.began = self._now()
        if batch_idx == WARM_UP + self.steps:
            self.milliseconds = 1000 * (self._now() - self.began) / self.steps
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self.device.type == "cuda" else [])]
            self.profiler = profile(activities=activities)
            self.profiler.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Reads the profile after the last step."""
        if self.profiler is not None and trainer.fit_loop.total_batch_idx == self.total - 1:
            self._now()
            self.profiler.stop()
            self.busy = _busy_milliseconds(self.profiler, self.device) / PROFILED

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _busy_milliseconds(profiler: profile, device: torch.device) -> float:
    """The union of all kernels (on a CPU: of all operations) in time."""
    kind = torch.autograd.DeviceType.CUDA if device.type == "cuda" else torch.autograd.DeviceType.CPU
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == kind and not event.is_user_annotation and not event.name.startswith("[pl]")
    )
    total, end = 0.0, float("-inf")
    for start, stop in spans:
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total / 1000


def fit(config: str, flags: Sequence[str], steps: int, precision: str, device: torch.device) -> tuple[Record, Any]:
    """Some steps of `configs/CONFIG.yaml` with these flags; what was measured, and the command line's objects."""
    clock = StepClock(steps, device)
    own = {
        "accelerator": "gpu" if device.type == "cuda" else "cpu",
        "devices": 1,
        "precision": precision,
        "fast_dev_run": clock.total * (2 if config == "car/gan" else 1),  # Lightning counts steps of optimizers
        "enable_progress_bar": "false",
        "enable_model_summary": "false",
    }
    trainer = [f"--trainer.{name}={value}" for name, value in own.items()]
    cli = _opened(config, [*flags, *trainer])
    cli.trainer.callbacks.append(clock)
    cli.trainer.limit_val_batches = 0
    peak = peak_megabytes(lambda: cli.trainer.fit(cli.model, cli.datamodule), device)
    losses = {name: float(value) for name, value in cli.trainer.callback_metrics.items() if name.startswith("loss/")}
    if not all(map(math.isfinite, losses.values())) or not clock.milliseconds:
        raise SystemExit(f"expected {clock.total} steps with finite losses, got {losses}")
    images = cli.datamodule.batch_size * (1 if config == "car/gan" else 2)
    found = {"ms": clock.milliseconds, "images_per_second": 1000 * images / clock.milliseconds}
    return {**found, "device_busy_ms": clock.busy, "peak_mb": peak, "losses": losses}, cli


def _opened(config: str, flags: Sequence[str]) -> GanverseCLI:
    quieten()
    register()
    return GanverseCLI(["--config", str(CONFIGS / f"{config}.yaml"), *flags], run=False)


def shares(found: Record, **parts: float) -> Record:
    """Of a step's wall time: the parts that were measured by themselves, the host's (no kernel runs), the network's."""
    known = {name: part / found["ms"] for name, part in parts.items()}
    known["host"] = max(0.0, 1 - found["device_busy_ms"] / found["ms"])
    return {**known, "network": 1 - sum(known.values())}


def gan(sizes: Sizes, folder: Path, device: torch.device) -> Record:
    """Steps of the image GAN at its last resolution, on noise in place of photographs."""
    flags = [f"--data.cache={pictures(folder, 64)}", "--data.images=64", f"--model.images={ENDLESS}"]
    flags += ['--model.stages=[{"resolution": 64, "images": 1, "r1_gamma": 0.3, "fade_images": 0}]']
    return {precision: fit("car/gan", flags, sizes.gan_steps, precision, device)[0] for precision in PRECISIONS}


def inverse(sizes: Sizes, folder: Path, device: torch.device, *, large: bool) -> Record:
    """Steps of the inverse network, and what drawing their samples takes (the work of `predict`)."""
    config, source = _source(sizes, folder, large=large)
    flags = [*source, f"--model.images={ENDLESS}", "--model.perceptual.start=0"]
    records = {}
    for precision in PRECISIONS:
        found, cli = fit(f"{config}-inverse" if large else f"{config}/inverse", flags, sizes.steps, precision, device)
        half = precision == "bf16-mixed"
        times = training.measure(cli.model, cli.datamodule, rounds=3, device=device, half=half)
        found["shares"] = shares(found, generator=times.gan, masks=times.masks, renderer=times.render)
        images = 2 * cli.datamodule.batch_size
        records[precision] = {**found, "parts_ms": vars(times), "samples_per_second": 1000 * images / times.stream}
    return records


def disentangle(sizes: Sizes, folder: Path, device: torch.device, *, large: bool) -> Record:
    """Steps of StyleGAN-R's second stage, in which everything is trained."""
    config, source = _source(sizes, folder, large=large)
    settings = {"warm_up_images": 0, "fine_tune_images": ENDLESS, "calibration_images": 16}
    flags = [*source, *(f"--model.settings.{name}={value}" for name, value in settings.items())]
    flags.append("--model.settings.found_views.candidates=0")
    if large:
        flags.append(f"--model.inverse={_inverse_of(config, source, folder)}")
    records = {}
    for precision in PRECISIONS:
        name = f"{config}-disentangle" if large else f"{config}/disentangle"
        found, cli = fit(name, flags, sizes.steps, precision, device)
        renderer, images = cli.model.renderer.to(device), 2 * cli.datamodule.batch_size
        styles = renderer.mean.expand(images, -1)
        frozen = cli.model.source.generator.to(device)

        def synthesis(frozen: Any = frozen, renderer: Any = renderer, styles: torch.Tensor = styles) -> None:
            with torch.no_grad():
                frozen.synthesize(styles)
            renderer.generator.synthesize(styles).sum().backward()

        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            times = training.smallest_times({"generator": synthesis}, 3, device)
        records[precision] = {**found, "shares": shares(found, **times)}
    return records


def _source(sizes: Sizes, folder: Path, *, large: bool) -> tuple[str, list[str]]:
    """The configurations' name, and flags of their data: the car GAN's, or the paper's with a GAN of its size."""
    objects = [f"--data.batch_size={sizes.objects}", "--data.sampling.attempts=1"]
    if not large:
        return "car", objects
    generator = save_config_f(folder / "config-f.safetensors", sizes)
    return "paper/car", [*objects, f"--data.generator={generator}", "--data.masks=segmenter"]


def _inverse_of(config: str, source: list[str], folder: Path) -> Path:
    """Untrained weights of the inverse network of these data."""
    cli = _opened(f"{config}-inverse", source)
    cli.model.trainer, cli.trainer.datamodule = cli.trainer, cli.datamodule
    cli.model.configure_model()
    path = folder / "inverse.safetensors"
    cli.model.save_pretrained(path)
    return path
