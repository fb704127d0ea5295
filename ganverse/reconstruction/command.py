"""`ganverse reconstruct`: many photos in, a mesh and a row of views each; a bad photo does not stop the others."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ganverse.errors import GanverseError
from ganverse.export.files import FORMATS, check_format
from ganverse.export.textured import texture_picture
from ganverse.io import write_atomically
from ganverse.masks.mask_rcnn import COCO_CATEGORIES, MaskRCNN
from ganverse.masks.masker import Masker
from ganverse.masks.segmenter import Segmenter
from ganverse.reconstruction.reconstructor import Reconstructor
from ganverse.reconstruction.refinement import RefinementSettings
from ganverse.reconstruction.turntable import check_turntable, png_bytes

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
SOME_FAILED = 1
"""Exit status when some of several photos could not be reconstructed."""


@dataclass(frozen=True)
class Job:
    """One photo, its mask if one is given, and where its mesh goes."""

    photo: Path
    mask: Path | None
    target: Path


@dataclass(frozen=True)
class Extras:
    """What every object gets. views: a row of pictures. turntable: ending of its file, None for none."""

    refinement: RefinementSettings
    views: bool = True
    turntable: str | None = None


def reconstruct_command(arguments: Sequence[str]) -> int:
    """`ganverse reconstruct PHOTO... -o OUT`; 0, or 1 if some of several photos were skipped.

    Raises:
        GanverseError: wrong arguments or weights; the only photo cannot be read or shows no object.
    """
    given = _parser().parse_args(list(arguments))
    jobs = plan(given.photos, given.output, given.masks, given.format)
    extras = Extras(RefinementSettings(steps=given.refine), not given.no_views, given.turntable)
    for job in jobs[:1]:
        check_format(job.target)
        if extras.turntable is not None:
            check_turntable(job.target.with_suffix(f".{extras.turntable}"))
    reconstructor = Reconstructor.open(given.weights, masker=_masker(given), device=given.device)
    if len(jobs) == 1:
        _print(reconstruct(reconstructor, jobs[0], extras))
        return 0
    return SOME_FAILED if reconstruct_all(reconstructor, jobs, extras) else 0


def _masker(given: Namespace) -> Masker | None:
    if given.mask_rcnn is not None:
        return MaskRCNN.from_pretrained(given.mask_rcnn).to(given.device)
    return None if given.segmenter is None else Segmenter.from_pretrained(given.segmenter).to(given.device)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="ganverse reconstruct",
        description="Photos to textured meshes: each photo's main object as a mesh, and a picture of its views.",
    )
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="picture files, or folders of them")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help=f"NAME with one of the endings {' '.join(FORMATS)}; several photos give NAME-PHOTO. Or a folder for "
        "PHOTO.glb",
    )
    parser.add_argument("--format", default="glb", help="ending of the meshes where -o is a folder (%(default)s)")
    parser.add_argument(
        "--weights",
        default="car",
        help="inverse network: car (in the package), a run directory, a .safetensors file or its card, a checkpoint, "
        "or owner/repository of the Hugging Face hub (%(default)s)",
    )
    parser.add_argument(
        "--masks", type=Path, help="PNG in which the object is white, or a folder of PHOTO.png; else it is looked for"
    )
    found = parser.add_mutually_exclusive_group()
    found.add_argument(
        "--segmenter", type=Path, help="weights of the segmenter that looks for it; the car segmenter in the package"
    )
    found.add_argument(
        "--mask-rcnn",
        choices=sorted(COCO_CATEGORIES),
        help="torchvision's Mask R-CNN, trained on COCO's photos, looks for it instead; downloads 180 MB once",
    )
    parser.add_argument(
        "--refine", type=int, default=0, metavar="STEPS", help="steps of test-time refinement, 30 are usual (none)"
    )
    parser.add_argument("--turntable", choices=("gif", "mp4", "png"), help="one turn as NAME-turntable.*")
    parser.add_argument("--no-views", action="store_true", help="leave NAME-views.png out")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    return parser


def plan(photos: Sequence[Path], output: Path, masks: Path | None, ending: str = "glb") -> list[Job]:
    """A job per photo; folders stand for the pictures in them.

    Raises:
        GanverseError: a folder without pictures, or a mask file for several photos.
    """
    files = [file for path in photos for file in _pictures(path)]
    several = len(files) > 1 or any(path.is_dir() for path in photos)
    if several and masks is not None and not masks.is_dir():
        raise GanverseError(f"expected --masks to be a folder for {len(files)} photos, got {masks}")
    if not output.suffix:
        targets = [output / f"{name}.{ending.lstrip('.')}" for name in _names(files)]
    elif several:
        targets = [output.with_stem(f"{output.stem}-{name}") for name in _names(files)]
    else:
        targets = [output]
    return [Job(file, _mask_of(file, masks), target) for file, target in zip(files, targets, strict=True)]


def _pictures(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
    if not found:
        raise GanverseError(f"expected pictures in the folder {path}, found none")
    return found


def _names(files: Sequence[Path]) -> list[str]:
    """Stems; where two photos share one, whole file names, and a number where these are the same too."""
    stems, names = Counter(file.stem for file in files), Counter(file.name for file in files)
    met: Counter[str] = Counter()
    chosen = []
    for file in files:
        met[file.name] += 1
        name = file.stem if stems[file.stem] == 1 else file.name.replace(".", "-")
        chosen.append(name if names[file.name] == 1 else f"{name}-{met[file.name]}")
    return chosen


def _mask_of(photo: Path, masks: Path | None) -> Path | None:
    return masks / f"{photo.stem}.png" if masks is not None and masks.is_dir() else masks


def reconstruct(reconstructor: Reconstructor, job: Job, extras: Extras) -> list[Path]:
    """One photo; the files written.

    Raises:
        GanverseError: the photo or its mask cannot be used.
    """
    done = reconstructor(job.photo, mask=job.mask, refinement=extras.refinement)
    written = done.save(job.target)
    if extras.views:
        views = job.target.with_name(f"{job.target.stem}-views.png")
        write_atomically(views, png_bytes(texture_picture(done.views())))
        written.append(views)
    if extras.turntable is not None:
        turn = job.target.with_name(f"{job.target.stem}-turntable.{extras.turntable}")
        done.save_turntable(turn)
        written.append(turn)
    return written


def reconstruct_all(reconstructor: Reconstructor, jobs: Sequence[Job], extras: Extras) -> list[str]:
    """All photos with a progress bar; what went wrong with those that were skipped, one sentence each."""
    console, complaints = Console(stderr=True), []
    columns = (TextColumn("photos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        for job in progress.track(jobs):
            complaint = _attempt(reconstructor, job, extras)
            if complaint is not None:
                complaints.append(complaint)
                console.print(f"skipped {job.photo}: {complaint}", highlight=False, markup=False, soft_wrap=True)
    if complaints:
        console.print(f"{len(jobs) - len(complaints)} of {len(jobs)} photos reconstructed", highlight=False)
    return complaints


def _attempt(reconstructor: Reconstructor, job: Job, extras: Extras) -> str | None:
    """What is wrong with a photo, None if nothing is."""
    try:
        _print(reconstruct(reconstructor, job, extras))
    except GanverseError as error:
        return str(error)
    return None


def _print(files: Sequence[Path]) -> None:
    Console().print("\n".join(map(str, files)), highlight=False, markup=False, soft_wrap=True)
