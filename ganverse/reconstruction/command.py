"""`ganverse reconstruct`: photos to meshes. `ganverse edit`: a photo to a sheet of StyleGAN-R images."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import realpath  # `Path.resolve` raises RuntimeError for circular links
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from ganverse.arguments import CommandParser
from ganverse.devices import add_device_option, find_device
from ganverse.errors import GanverseError
from ganverse.export import FORMATS, check_format
from ganverse.io import list_images, save_image
from ganverse.masks.mask_rcnn import COCO_CATEGORIES, MaskRCNN
from ganverse.masks.masker import Masker
from ganverse.masks.rembg import Rembg
from ganverse.masks.segmenter import Segmenter
from ganverse.reconstruction.editor import PARTS, Editor
from ganverse.reconstruction.reconstructor import Reconstructor
from ganverse.reconstruction.refinement import RefinementSettings

HYPOTHESIS_STEPS = 12
SOME_FAILED = 1
"""Exit status when some of several photos could not be reconstructed."""


@dataclass(frozen=True)
class Job:
    """One photo, its mask if given, and its output files: the mesh and the images beside it."""

    photo: Path
    mask: Path | None
    target: Path

    def beside(self, ending: str) -> Path:
        """Path of an image of the same object: NAME-ending for the mesh NAME.glb."""
        return self.target.with_name(f"{self.target.stem}-{ending}")

    @property
    def files(self) -> list[Path]:
        """All files that may be written."""
        texture = [] if self.target.suffix.lower() in (".glb", ".usdz") else [self.target.with_suffix(".png")]
        return [self.target, *texture, self.beside("views.png"), self.beside("turntable.gif")]


def reconstruct_command(arguments: Sequence[str]) -> int:
    """`ganverse reconstruct PHOTO... -o OUT`; returns 0, or 1 if some of several photos were skipped.

    Raises:
        GanverseError: wrong arguments or weights, or the only photo is unreadable or shows no object.
    """
    given = _reconstruct_parser().parse_args(list(arguments))
    jobs = plan(given.photos, given.output, given.masks, given.format)
    refinement = RefinementSettings(steps=given.refine, hypothesis_steps=HYPOTHESIS_STEPS if given.hypotheses else 0)
    check_format(jobs[0].target)
    device = find_device(given.device)
    reconstructor = Reconstructor.from_pretrained(given.weights, masker=_masker(given, device), device=device)
    if len(jobs) == 1:
        _reconstruct(reconstructor, jobs[0], refinement, given)
        return 0
    console = Console(stderr=True)

    def attempt(job: Job) -> bool:
        try:
            _reconstruct(reconstructor, job, refinement, given)
        except GanverseError as error:
            console.print(f"skipped {job.photo}: {error}", highlight=False, markup=False, soft_wrap=True)
            return False
        return True

    done = sum(map(attempt, track(jobs, "photos", console=console, transient=True)))
    if done < len(jobs):
        console.print(f"{done} of {len(jobs)} photos reconstructed", highlight=False)
    return 0 if done == len(jobs) else SOME_FAILED


def _reconstruct(reconstructor: Reconstructor, job: Job, refinement: RefinementSettings, given: Namespace) -> None:
    """Reconstructs one photo and prints the files written."""
    done = reconstructor(job.photo, mask=job.mask, refinement=refinement)
    written = done.save(job.target)
    if not given.no_views:
        written.append(job.beside("views.png"))
        save_image(done.views(), written[-1])
    if given.turntable:
        written.append(job.beside("turntable.gif"))
        done.save_turntable(written[-1])
    print(*written, sep="\n", flush=True)


def edit_command(arguments: Sequence[str]) -> Path:
    """`ganverse edit PHOTO -o SHEET.png ...`; returns the file written.

    Raises:
        GanverseError: a photo is unreadable or shows no object, or the weights do not belong together.
    """
    given = _edit_parser().parse_args(list(arguments))
    if given.output.suffix.lower() != ".png":
        raise GanverseError(f"expected --output ending in .png, got {given.output}; rename it")
    if given.steps < 0:
        raise GanverseError(f"expected --steps of 0 or more, got {given.steps}")
    device = find_device(given.device)
    masker = _masker(given, device)
    editor = Editor.from_pretrained(given.weights, inverse=given.inverse, masker=masker, device=device)
    lenders = {part: editor(path, steps=0) for part in PARTS if (path := getattr(given, part)) is not None}
    save_image(editor.sheet(editor(given.photo, mask=given.mask, steps=given.steps), lenders), given.output)
    print(given.output)
    return Path(given.output)


def _reconstruct_parser() -> ArgumentParser:
    parser = CommandParser(
        prog="ganverse reconstruct",
        description="Convert photos to textured meshes: the main object of each photo, with an image of its views.",
    )
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="image files, or folders of them")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help=f"NAME with an ending of {' '.join(FORMATS)}; or a folder, for PHOTO.glb",
    )
    endings = [ending[1:] for ending in FORMATS]
    parser.add_argument(
        "--format", default="glb", choices=endings, help="mesh format if -o is a folder (default: %(default)s)"
    )
    parser.add_argument(
        "--masks", type=Path, help="PNG with a white object, or a folder of PHOTO.png (default: found automatically)"
    )
    _add_network(parser, "inverse network")
    parser.add_argument(
        "--refine", type=int, default=0, metavar="STEPS", help="steps of test-time refinement, e.g. 30 (default: none)"
    )
    parser.add_argument(
        "--hypotheses",
        action="store_true",
        help="try several cameras, including mirrored and 180-degree turned ones, and keep the best",
    )
    parser.add_argument("--turntable", action="store_true", help="also write NAME-turntable.gif")
    parser.add_argument("--no-views", action="store_true", help="do not write NAME-views.png")
    return parser


def _edit_parser() -> ArgumentParser:
    parser = CommandParser(
        prog="ganverse edit", description="Render a photo with StyleGAN-R: rotated, or with parts of other photos."
    )
    parser.add_argument("photo", type=Path, metavar="PHOTO", help="image file with one object")
    parser.add_argument("-o", "--output", type=Path, required=True, help="SHEET.png")
    parser.add_argument("--mask", type=Path, help="PNG with a white object (default: found automatically)")
    for part in PARTS:
        parser.add_argument(f"--{part}", type=Path, metavar="PHOTO", help=f"take the {part} from this photo")
    parser.add_argument(
        "--steps", type=int, default=60, help="refinement steps for the style codes; 0 for none (default: %(default)s)"
    )
    _add_network(parser, "StyleGAN-R")
    parser.add_argument("--inverse", help="inverse network that StyleGAN-R was trained with (default: found by hash)")
    return parser


def _add_network(parser: ArgumentParser, kind: str) -> None:
    """Adds the options of both commands."""
    parser.add_argument(
        "--weights",
        default="car",
        help=f"{kind}: car (shipped), a run directory, a .safetensors file, a checkpoint, or "
        "hf://owner/repository (default: %(default)s)",
    )
    found = parser.add_mutually_exclusive_group()
    found.add_argument(
        "--segmenter",
        help="segmenter that finds the object: a .safetensors file, or car (default: the weights' own)",
    )
    found.add_argument(
        "--mask-rcnn",
        choices=sorted(COCO_CATEGORIES),
        help="find the object with torchvision's Mask R-CNN (COCO); downloads 180 MB once",
    )
    found.add_argument(
        "--rembg", action="store_true", help="find the object with rembg (extra `rembg`); downloads 176 MB once"
    )
    add_device_option(parser)


def _masker(given: Namespace, device: torch.device) -> Masker | None:
    if given.mask_rcnn is not None:
        return MaskRCNN.from_pretrained(given.mask_rcnn).to(device)
    if given.rembg:
        return Rembg.from_pretrained()
    return None if given.segmenter is None else Segmenter.from_pretrained(given.segmenter).to(device)


def plan(photos: Sequence[Path], output: Path, masks: Path | None, ending: str = "glb") -> list[Job]:
    """One job per photo; folders stand for the images in them.

    Raises:
        GanverseError: a folder without images, one file for several photos, or an output that overwrites another file.
    """
    files = [file for path in photos for file in _images(path)]
    several = len(files) > 1 or any(path.is_dir() for path in photos)
    if several and masks is not None and not masks.is_dir():
        raise GanverseError(f"expected --masks to be a folder for {len(files)} photos, got {masks}")
    if several and output.suffix:
        raise GanverseError(f"expected --output to be a folder for {len(files)} photos, got {output}")
    jobs = [
        Job(file, _mask_of(file, masks), output if output.suffix else output / f"{file.stem}.{ending}")
        for file in files
    ]
    taken = {realpath(path) for job in jobs for path in (job.photo, job.mask) if path is not None}
    for path in (path for job in jobs for path in job.files):
        if realpath(path) in taken:
            raise GanverseError(
                f"expected distinct file names, but {path} would overwrite a photo, a mask or another output; "
                "give another --output, or rename the photo"
            )
        taken.add(realpath(path))
    return jobs


def _images(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = list_images(path)
    if not found:
        raise GanverseError(f"expected images in the folder {path}, found none")
    return found


def _mask_of(photo: Path, masks: Path | None) -> Path | None:
    return masks / f"{photo.stem}.png" if masks is not None and masks.is_dir() else masks
