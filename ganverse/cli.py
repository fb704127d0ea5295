"""The command line: `ganverse COMMAND`, train.py and evaluate.py. Heavy imports happen only when needed."""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from ganverse import __version__
from ganverse.errors import GanverseError

BAD_INPUT, INTERRUPTED = 2, 130
LIGHTNING = ("fit", "validate", "test", "predict")

HELP = """\
usage: ganverse COMMAND ...

From an image GAN to textured 3D, and back to a GAN with controls.

commands:
  train        fit, validate, test or predict with LightningCLI, or run all stages of a pipeline (same as train.py)
  evaluate     compute metrics, figures and a report page for trained weights (same as evaluate.py)
  reconstruct  convert photos to textured meshes (.glb, .obj, .usdz)
  edit         rotate a photo's object, or swap its shape, texture or background, with StyleGAN-R
  import-gan   convert StyleGAN weights trained elsewhere; nothing in the file is executed
  masks        train a segmenter for any GAN from a few masks that you paint
  views        choose view codes of a GAN and estimate their azimuths
  annotate     set the azimuth of each view code in the browser
  studio       view and edit an object or a photo in the browser
  doctor       check the installation, devices and shipped weights

  -h, --help   show this text; `ganverse COMMAND --help` explains a command
  --version    show the version

`python -m ganverse` is the same as `ganverse`."""

TRAIN_HELP = """\
usage: {prog} [--config PIPELINE.yaml] [--run DIR]
       {prog} fit|validate|test|predict --config FILE.yaml [--trainer.* V] [--model.* V] [--data.* V] [--ckpt_path last]

Without a subcommand, train.py runs all stages of a pipeline into one run directory (default: configs/demo.yaml).
Re-run to resume; finished stages are skipped.

With a subcommand, it is LightningCLI with every Trainer flag.

models:  InverseGraphics    image -> mesh and texture, trained on multi-view samples        (fit)
         Disentanglement    StyleGAN-R: camera, shape, texture and background -> image      (fit)
         DatasetGeneration  writes multi-view samples to disk                               (predict)
         ImageGAN           StyleGAN2 on images of the car world                            (fit)
data:    MultiViewStream    samples of a GAN, generated during training
         MultiViewShards    samples written by DatasetGeneration
         MultiViewFolder    your own images: OBJECT/VIEW.png with masks and coarse azimuths
         WorldImages        images of the car world

examples:
  {prog} fit --config configs/car/inverse.yaml --trainer.devices 8 --trainer.strategy ddp
  {prog} fit --config configs/car/inverse.yaml --trainer.fast_dev_run true
  {prog} fit --config configs/car/inverse.yaml --ckpt_path last --trainer.logger WandbLogger

`{prog} fit --help` lists Lightning's settings, `{prog} fit --model.help InverseGraphics` lists those of a model,
`{prog} fit --data.help MultiViewStream` lists those of a data source."""

COMMANDS: dict[str, str] = {
    "reconstruct": "ganverse.reconstruction.command:reconstruct_command",
    "edit": "ganverse.reconstruction.command:edit_command",
    "import-gan": "ganverse.importing.command:import_command",
    "masks": "ganverse.masks.command:masks_command",
    "views": "ganverse.viewpoints.command:views_command",
    "annotate": "ganverse.apps.annotate:annotate_command",
    "studio": "ganverse.apps.studio:studio_command",
    "doctor": "ganverse.doctor:doctor_command",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `ganverse ...` and returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(HELP)
        return 0
    if given[0] == "--version":
        print(f"ganverse {__version__}")
        return 0
    name, rest = given[0], given[1:]
    if name == "train":
        return train(rest, "ganverse train")
    if name == "evaluate":
        return evaluate(rest, "ganverse evaluate")
    if name not in COMMANDS:
        known = ", ".join(("train", "evaluate", *COMMANDS))
        return _complain(f"expected a command ({known}), got {name!r}; see ganverse --help")

    def run() -> int:
        if name in ("annotate", "studio"):
            _need_server()
        module, function = COMMANDS[name].split(":")
        status = getattr(import_module(module), function)(rest)
        return status if isinstance(status, int) else 0

    return guarded(run)


def train(arguments: Sequence[str], prog: str = "train.py") -> int:
    """Runs a LightningCLI subcommand, or all stages of a pipeline."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(TRAIN_HELP.format(prog=prog))
        return 0

    def run() -> int:
        import ganverse.tasks  # names the models and data sources for --model and --data
        from ganverse.training.cli import run_lightning

        _keep_freed_memory()
        ganverse.tasks.register()
        given = _with_configs(arguments)
        if given and given[0] in LIGHTNING:
            try:
                run_lightning(given)
            except KeyboardInterrupt as interrupt:
                again = ["run it again with --ckpt_path last to resume"] if given[0] == "fit" else interrupt.args
                raise KeyboardInterrupt(*again) from interrupt
            return 0
        return _pipeline(given, prog)

    return guarded(run)


def _pipeline(arguments: Sequence[str], prog: str) -> int:
    from ganverse.arguments import CommandParser
    from ganverse.training.pipeline import read_pipeline, run_pipeline

    def evaluate_stage(call: Sequence[str]) -> None:
        from ganverse.evaluation.command import evaluate_command

        evaluate_command(call, prog)

    if arguments and not arguments[0].startswith("-"):
        raise GanverseError(f"expected one of {', '.join(LIGHTNING)}, got {arguments[0]!r}; see {prog} --help")
    parser = CommandParser(prog=prog, allow_abbrev=False)
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--run", type=Path, default=None)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise GanverseError(
            f"expected --config PIPELINE.yaml and --run DIR without a subcommand, got {unknown[0]}; see {prog} --help"
        )
    stages = read_pipeline(given.config or _config("configs/demo.yaml"), given.run)
    run_pipeline(stages, evaluate_stage)
    return 0


def _with_configs(arguments: Sequence[str]) -> list[str]:
    """Resolves `--config configs/car/inverse.yaml` and `--config=...` from any working directory."""
    given = [*arguments]
    for place, argument in enumerate(given):
        flag, equals, value = argument.partition("=")
        if flag == "--config" and equals:
            given[place] = f"--config={_config(value)}"
        elif flag == "--config" and place + 1 < len(given):
            given[place + 1] = str(_config(given[place + 1]))
    return given


def _config(name: str) -> Path:
    """Path of a configuration file: as given, or below configs/ of the repository or the installed package."""
    path, package = Path(name), Path(__file__).parent
    places = (path, package.parent / path, package / path)
    return next((place for place in places if place.is_file()), path)


def evaluate(arguments: Sequence[str], prog: str = "evaluate.py") -> int:
    """Evaluates the shipped weights, a run, or one file of weights."""

    def run() -> int:
        from ganverse.evaluation.command import evaluate_command

        evaluate_command(arguments, prog)
        return 0

    return guarded(run)


def _need_server() -> None:
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise GanverseError("expected starlette and uvicorn, which the pages need; pip install 'ganverse[apps]'")


def guarded(run: Callable[[], int]) -> int:
    """Runs a command; user errors and unusable paths become one sentence and exit status 2.

    Ctrl-C and SIGTERM exit with status 130.
    """
    # Threads of torch (GNU OpenMP) spin while they wait. Beside other busy programs they then lose whole time slices.
    # Training on 2 cores, img/s alone and beside two busy programs: 44 and 2 by default, 35 and 19 without spinning,
    # 42 and 15 with this setting.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # hides its warning about a read-only home
    before = None
    if threading.current_thread() is threading.main_thread():  # SIGTERM ends a command like Ctrl-C
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run()
    except GanverseError as error:
        return _complain(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _complain(f"expected free disk space, got: {error.strerror}; free some, then run the command again")
        if error.filename is None:  # not a file or folder that the user named
            raise
        return _complain(f"expected to read and write {error.filename}, got: {error.strerror}; choose another path")
    except ValueError as error:
        if "null byte" not in str(error):  # Python's word about names that no file can have; YAML and JSON hold them
            raise
        return _complain("expected names of files without the character 0, got one with it; correct it")
    except KeyboardInterrupt as interrupt:
        print(f"interrupted; {str(interrupt) or 'run the same command again to resume'}", file=sys.stderr)
        return INTERRUPTED
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _keep_freed_memory() -> None:
    """Makes glibc keep freed memory. Returning it and mapping it again would cost up to a tenth of a training step."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:  # other C libraries do not have it
        set_option(-4, 0)  # M_MMAP_MAX: large tensors also come from the heap
        set_option(-1, -1)  # M_TRIM_THRESHOLD: the heap never shrinks


def _complain(sentence: str) -> int:
    print(f"ganverse: {sentence}", file=sys.stderr)
    return BAD_INPUT
