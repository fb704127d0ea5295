"""The command line: `ganverse COMMAND`, train.py and evaluate.py. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import errno
import importlib.util
import os
import shlex
import sys
from collections.abc import Callable, Sequence

from ganverse import __version__
from ganverse.errors import GanverseError

BAD_INPUT, INTERRUPTED = 2, 130

HELP = """\
usage: ganverse COMMAND ...

From an image GAN to textured 3D, and back to a GAN that can be steered.

commands:
  train        run the stages: all of them (configs/demo.yaml), or one; the same as `python train.py`
  evaluate     tables, figures and a page about trained weights; the same as `python evaluate.py`
  ablate       trains variants of a configuration and compares them in a table
  reconstruct  photos to textured meshes (.glb, .obj, .usdz) with the inverse network
  edit         a photo as a scene of StyleGAN-R: turned, with shape, texture or background of other photos
  import-gan   weights of a StyleGAN that was trained elsewhere, read without executing anything in the file
  masks        a segmenter for any GAN, from a handful of pictures that you paint
  views        view codes of a GAN, all round: by the car pose regressor, or by itself (--azimuths auto)
  annotate     view codes of any GAN, given their azimuths by you on a page, one key each
  studio       turn an object or a photo, as a mesh and as StyleGAN-R paints it; swap its parts
  doctor       what is installed, what it would run on, and whether the shipped weights are whole

  -h, --help   this text; `ganverse COMMAND --help` explains a command
  --version    the version

Flags in the environment variable GANVERSE_TRAIN_OPTIONS (GANVERSE_MASKS_OPTIONS, ...) are added to every call.
`python -m ganverse` is the same as `ganverse`."""

TRAIN_HELP = """\
usage: {prog} [STAGE] [--config FILE.yaml] [--SETTING VALUE ...]
       {prog} --replay RUN/STAGE/non-finite.json

Without a stage: all stages, one after the other, into one run directory (configs/demo.yaml). Called again after an
interruption it goes on where it stopped; finished stages are skipped.

stages:
  generate     multi-view samples of a GAN as files on disk, and a picture of its view codes
  inverse      trains image -> mesh and texture on multi-view samples
  disentangle  trains StyleGAN-R: camera, shape, texture and background control the GAN
  report       evaluates what the run has trained
  gan          trains an image GAN on the car world (hours; not part of the pipeline, its weights are in the package)

`{prog} STAGE --help` lists the settings of a stage, `{prog} all --help` those of all stages together.
--replay makes the batch again at which a training stopped, and says which term of the loss is not finite.
Often wanted: --run DIR, --trainer.devices 8, --trainer.accelerator cpu, --logger wandb."""


def main(arguments: Sequence[str] | None = None) -> int:
    """`ganverse ...`; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(HELP)
        return 0
    if given[0] == "--version":
        print(f"ganverse {__version__}")
        return 0
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "train": lambda rest: train(rest, "ganverse train"),
        "evaluate": lambda rest: evaluate(rest, "ganverse evaluate"),
        "ablate": ablate,
        "reconstruct": reconstruct,
        "edit": edit,
        "import-gan": import_gan,
        "masks": masks,
        "views": views,
        "annotate": annotate,
        "studio": studio,
        "doctor": doctor,
    }
    if given[0] not in commands:
        return _complain(f"expected a command ({', '.join(commands)}), got {given[0]!r}; see ganverse --help")
    if given[0] in ("train", "evaluate"):
        return commands[given[0]](given[1:])
    return commands[given[0]]([*given[1:], *standing_options(given[0])])


def standing_options(command: str) -> list[str]:
    """Flags for every call of a command, from the environment: GANVERSE_IMPORT_GAN_OPTIONS and so on."""
    return shlex.split(os.environ.get(f"GANVERSE_{command.upper().replace('-', '_')}_OPTIONS", ""))


def train(arguments: Sequence[str], prog: str = "train.py") -> int:
    """All stages, or the one named first."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(TRAIN_HELP.format(prog=prog))
        return 0

    def run() -> int:
        from ganverse.pipeline.commands import train_command

        return 0 if train_command([*arguments, *standing_options("train")], prog) else INTERRUPTED

    return guarded(run)


def evaluate(arguments: Sequence[str], prog: str = "evaluate.py") -> int:
    """Evaluates the shipped weights, a run, or one file of weights."""

    def run() -> int:
        from ganverse.pipeline.commands import evaluate_command

        evaluate_command([*arguments, *standing_options("evaluate")], prog)
        return 0

    return guarded(run)


def ablate(arguments: Sequence[str]) -> int:
    """Variants of a configuration, compared."""

    def run() -> int:
        from ganverse.pipeline.ablation import ablate_command

        return 0 if ablate_command(arguments) else INTERRUPTED

    return guarded(run)


def reconstruct(arguments: Sequence[str]) -> int:
    """Photos to meshes."""

    def run() -> int:
        from ganverse.reconstruction.command import reconstruct_command

        return reconstruct_command(arguments)

    return guarded(run)


def edit(arguments: Sequence[str]) -> int:
    """A photo through StyleGAN-R."""

    def run() -> int:
        from ganverse.reconstruction.edit import edit_command

        edit_command(arguments)
        return 0

    return guarded(run)


def import_gan(arguments: Sequence[str]) -> int:
    """Weights from elsewhere to a generator of ours."""

    def run() -> int:
        from ganverse.importing.command import import_command

        import_command(arguments)
        return 0

    return guarded(run)


def masks(arguments: Sequence[str]) -> int:
    """A segmenter out of painted masks."""

    def run() -> int:
        from ganverse.masks.command import masks_command

        masks_command(arguments)
        return 0

    return guarded(run)


def views(arguments: Sequence[str]) -> int:
    """View codes of a GAN."""

    def run() -> int:
        from ganverse.viewpoints.command import views_command

        views_command(arguments)
        return 0

    return guarded(run)


def annotate(arguments: Sequence[str]) -> int:
    """The annotation page."""

    def run() -> int:
        _need_server()
        from ganverse.apps.annotate import annotate_command

        annotate_command(arguments)
        return 0

    return guarded(run)


def studio(arguments: Sequence[str]) -> int:
    """The studio."""

    def run() -> int:
        _need_server()
        from ganverse.apps.studio import studio_command

        studio_command(arguments)
        return 0

    return guarded(run)


def _need_server() -> None:
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise GanverseError("expected starlette and uvicorn, which the pages run on; pip install 'ganverse[apps]'")


def doctor(arguments: Sequence[str]) -> int:
    """What is installed and what would run."""

    def run() -> int:
        from ganverse.doctor import doctor_command

        return doctor_command(arguments)

    return guarded(run)


def guarded(run: Callable[[], int]) -> int:
    """Runs a command; a user's mistake or a path of no use becomes one sentence and status 2, Ctrl-C status 130."""
    # Torch's threads (GNU OpenMP) spin while they wait for each other, and beside any other program on the machine they
    # then wait for whole time slices. Training on 2 cores, img/s alone and beside two busy programs: 44 and 2 as it is,
    # 35 and 19 without spinning, 42 and 15 with this little of it.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        status = run()
    except GanverseError as error:
        return _complain(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _complain(f"expected room on the disk, got: {error.strerror}; make room, then call the same again")
        if error.filename is None:  # no file or folder that the user has named
            raise
        return _complain(f"expected to read and write {error.filename}, but {error.strerror}; choose another path")
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == INTERRUPTED:
        print("interrupted; the same command goes on from here", file=sys.stderr)
    return status


def _complain(sentence: str) -> int:
    print(f"ganverse: {sentence}", file=sys.stderr)
    return BAD_INPUT
