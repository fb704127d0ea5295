"""LightningCLI with this project's defaults: run folders, checkpoints, sample media, one-sentence errors."""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
import warnings
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from ganverse.arguments import one_sentence
from ganverse.errors import AT_LEAST_1, GanverseError, brief, check_ranges, quoted
from ganverse.io import write_atomically
from ganverse.pretrained import BrokenCheckpoint, read_checkpoint
from ganverse.training.checkpoint import TimedCheckpoint
from ganverse.training.diagnostics import Diagnostics
from ganverse.training.media import SampleLogger, start_wandb
from ganverse.training.progress import ImagesProgressBar
from ganverse.training.run_lock import run_lock

CONFIG = "config.yaml"
CHECKPOINTS = "checkpoints"
_RESTORING = ("resume_start", "_restore_modules_and_callbacks", "restore_training_state")
"""Lightning's functions that read a checkpoint."""


class GanverseCLI(LightningCLI):
    """`fit`, `validate`, `test` and `predict` for any LightningModule and LightningDataModule, by class name.

    Everything is written to `trainer.default_root_dir`: config.yaml, logs/, checkpoints/, samples/ and the weights from
    the module's `save_pretrained`, named by `weights`. `--checkpoint.*` configures Lightning's ModelCheckpoint,
    `--samples.*` the sample media.
    """

    def __init__(self, args: Sequence[str], **kwargs: Any) -> None:
        strict = {"exit_on_error": False, "allow_abbrev": False}
        super().__init__(
            args=list(args),
            subclass_mode_model=True,
            subclass_mode_data=True,
            model_class=pl.LightningModule,
            datamodule_class=pl.LightningDataModule,
            save_config_callback=_SaveConfig,
            save_config_kwargs={"overwrite": True, "save_to_log_dir": False},
            trainer_defaults={"callbacks": [Diagnostics()], "max_epochs": -1},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            parser_kwargs={**strict, **dict.fromkeys(self.subcommands(), strict)},
            **kwargs,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds settings beyond the Trainer's."""
        parser.add_argument("--weights", type=str, default="weights.safetensors", help="File of the trained weights.")
        parser.add_argument("--compile", type=bool, default=False, help="Run the networks through torch.compile.")
        parser.add_lightning_class_args(TimedCheckpoint, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.save_last": True,
                "checkpoint.save_top_k": 1,
                "checkpoint.monitor": "step",
                "checkpoint.mode": "max",
                "checkpoint.train_time_interval": timedelta(minutes=10),
            }
        )
        parser.add_lightning_class_args(SampleLogger, "samples")
        parser.link_arguments("trainer.default_root_dir", "checkpoint.dirpath", compute_fn=_checkpoints)

    def _parse_ckpt_path(self) -> None:
        """Keeps the command line's settings; Lightning would replace them by the checkpoint's."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, then checks what Lightning would notice late or never.

        Raises:
            GanverseError: a negative seed, steps or a name out of range, or an unreadable checkpoint.
        """
        super().parse_arguments(parser, args)
        given = self.config.get(str(self.config.get("subcommand")), self.config)
        seed, checkpoint = given.get("seed_everything"), given.get("ckpt_path")
        if isinstance(seed, int) and seed < 0:
            raise GanverseError(f"expected seed_everything of at least 0, got {seed}")
        trainer, weights = given.get("trainer") or {}, str(given.get("weights"))
        steps = {name: trainer.get(name) for name in ("accumulate_grad_batches", "log_every_n_steps")}
        check_ranges(steps, accumulate_grad_batches=AT_LEAST_1)
        if Path(weights).suffix != ".safetensors" or Path(weights).name != weights:
            raise GanverseError(f"expected weights to be a file name ending in .safetensors, got {quoted(weights)}")
        if checkpoint not in (None, "best", "last", "hpc"):
            read_checkpoint(Path(checkpoint))

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Sets what the user left open: CSV logger, progress bar, precision, DDP's idle parameters."""
        settings = self._settings(self.config_init)
        config, self.model.compiled = settings["trainer"], settings["compile"]
        root = config["default_root_dir"] or "runs/unnamed"
        if config["logger"] in (None, True):
            kwargs["logger"] = CSVLogger(root, name="logs")
        callbacks = config["callbacks"] or []
        callbacks = [*callbacks] if isinstance(callbacks, list) else [callbacks]
        if config["enable_progress_bar"] is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            kwargs["callbacks"] = [*callbacks, ImagesProgressBar()]
        if config["precision"] is None:
            kwargs["precision"] = best_precision(config["accelerator"])
        idle = getattr(self.model, "has_idle_parameters", False)
        alone = config["devices"] in (1, "1") or (config["devices"] == "auto" and torch.cuda.device_count() < 2)
        if idle and (config["strategy"] == "ddp" or (config["strategy"] == "auto" and not alone)):
            kwargs["strategy"] = "ddp_find_unused_parameters_true"
        try:
            return super().instantiate_trainer(default_root_dir=root, **kwargs)
        except (ValueError, TypeError, MisconfigurationException) as error:
            raise GanverseError(f"expected settings that Lightning's Trainer knows, got: {brief(error)}") from error

    def fit(self, model: pl.LightningModule, **kwargs: Any) -> None:
        """`Trainer.fit`; saves the last state, and the trained weights with their card."""
        trainer, root = self.trainer, Path(self.trainer.default_root_dir)
        with self._undisturbed(root):
            trainer.fit(model, **kwargs)
            if getattr(trainer, "fast_dev_run", False):
                return
            trainer.save_checkpoint(root / CHECKPOINTS / "last.ckpt")
            save = getattr(model, "save_pretrained", None)
            if save is not None and trainer.is_global_zero:
                save(root / self._settings(self.config)["weights"])
            trainer.strategy.barrier()

    def predict(self, model: pl.LightningModule, **kwargs: Any) -> None:
        """`Trainer.predict`, then waits for all processes; predictions are written, not returned."""
        root = self.trainer.default_root_dir
        with self._undisturbed(root, getattr(model, "output", root)):
            self.trainer.predict(model, **{**kwargs, "return_predictions": False})
            self.trainer.strategy.barrier()

    @contextlib.contextmanager
    def _undisturbed(self, *folders: str | Path) -> Iterator[None]:
        """Locks the output folders and starts Weights & Biases, except for `fast_dev_run`."""
        with contextlib.ExitStack() as locks:
            if not getattr(self.trainer, "fast_dev_run", False):
                for folder in sorted({Path(folder) for folder in folders}):
                    locks.enter_context(run_lock(folder))
                start_wandb(self.trainer.loggers)
            yield

    def _settings(self, config: Any) -> Any:
        """Settings of the subcommand, if there is one."""
        return config[self.subcommand] if self.subcommand else config


class _SaveConfig(SaveConfigCallback):
    """Writes config.yaml to the run's folder, in a form that `--config` reads."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Waits, since model and data may still not fit together."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the file."""
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, "fit")

    def on_predict_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Like `on_fit_start`, once the output folder is known to be writable."""
        self.on_fit_start(trainer, pl_module)

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """All settings, defaults included."""
        text = self.parser.dump(self.config, skip_none=False)
        write_atomically(Path(trainer.default_root_dir) / CONFIG, text.encode())


def _checkpoints(root: str | Path | None) -> str:
    return str(Path(root or "runs/unnamed") / CHECKPOINTS)


def best_precision(accelerator: object) -> str:
    """bfloat16 where the CPU or GPU multiplies it faster than float32."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "32-true"
    return "bf16-mixed" if re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) else "32-true"


def run_lightning(arguments: Sequence[str]) -> None:
    """Runs `fit`, `validate`, `test` or `predict`.

    Raises:
        GanverseError: bad settings, missing files, or a batch that does not fit in memory.
    """
    quieten()
    try:
        with one_sentence(), memory_explained():
            GanverseCLI(arguments)
    except SystemExit as error:
        if error.code == 1 or isinstance(error, SIGTERMException):  # Lightning's exit after Ctrl-C and SIGTERM
            raise KeyboardInterrupt from error
        raise
    except MisconfigurationException as error:
        raise GanverseError(" ".join(str(error).split())) from error
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        if not any(step.name in _RESTORING for step in traceback.extract_tb(error.__traceback__)):
            raise
        raise BrokenCheckpoint(f"expected a checkpoint of these settings, got another: {brief(error)}") from error


def quieten() -> None:
    """Shows our own log lines; hides advice of other packages that does not apply here."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("ganverse").setLevel(logging.INFO)
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning_utilities"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for advice in (
        r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6 on torch >= 2.9
        "The '.*_dataloader' does not have many workers",  # our loaders yield indices
        "GPU available but not used",
        "LightningCLI.s args parameter",  # `main` passes the remaining arguments
        "Precision bf16-mixed is not supported by the model summary",
        "You're resuming from a checkpoint that ended before the epoch",  # our loaders begin at the samples seen
        r"Found \d+ module\(s\) in eval mode at the start of training",  # the frozen networks
        "Couldn't infer the batch indices",  # predictions carry their sample indices
        "You're using the WeightAveraging callback, but loading a checkpoint outside",  # validates the average
        "The number of training batches",  # shorter than the logging interval: a short run
        "Checkpoint directory .* exists and is not empty",  # a resumed run
        ".*lr_scheduler.step.*before.*optimizer.step",  # a scaler skipped the first step
    ):
        warnings.filterwarnings("ignore", message=advice)


@contextlib.contextmanager
def memory_explained() -> Iterator[None]:
    """Converts an out-of-memory error into one sentence.

    Raises:
        GanverseError: out of memory.
    """
    too_large = GanverseError(
        "expected a batch that fits in memory, got one that does not; lower --data.batch_size (predict: "
        "--model.per_file), or use more --trainer.devices"
    )
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise too_large from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise too_large from error
