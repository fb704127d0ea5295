"""`ganverse annotate`: give view codes their azimuths on a page, one key each."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from torch import Tensor, nn

from ganverse.apps.server import add_page_options, address, application, listen, read_json, serve, tell
from ganverse.arguments import CommandParser
from ganverse.devices import find_device
from ganverse.errors import FROM_1, GanverseError, check_ranges, quoted
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.weights import load_generator
from ganverse.io import image_grid, png_bytes
from ganverse.pretrained import build, generator_path, views_beside
from ganverse.viewpoints.directions import open_views
from ganverse.viewpoints.proposal import images_of_views
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims

PORT = 8710


def annotate_command(arguments: Sequence[str]) -> None:
    """`ganverse annotate GENERATOR ...`; returns when the person stops the server.

    Raises:
        GanverseError: files that are missing or do not fit, a port that is taken.
    """
    parser = CommandParser(
        prog="ganverse annotate",
        description="Set the azimuth of each view code of a GAN in the browser, with one key; each is saved at once.",
    )
    parser.add_argument(
        "generator", nargs="?", default="car", help='.safetensors file of a GAN, or "car" (%(default)s)'
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="view-code file; an existing one is continued (default: NAME-views.yaml)"
    )
    parser.add_argument(
        "--layers", type=int, help="first layers that a view code replaces (default: from the generator's card)"
    )
    parser.add_argument("--codes", type=int, default=39, help="codes to keep (default: %(default)s, as in the paper)")
    parser.add_argument("--pool", type=int, default=96, help="seeds to try for candidates (default: %(default)s)")
    add_page_options(parser, PORT)
    given = parser.parse_args(list(arguments))
    with listen(given.port) as bound:
        path, device = generator_path(given.generator), find_device(given.device)
        network, card = load_generator(path)
        output = given.output or views_beside(path)
        generator, file = open_annotation(network, card.sha256, output, given.layers)
        if isinstance(generator, nn.Module):
            generator.to(device)
        tell(f"synthesizing {given.pool} view codes of {path}")
        desk = Desk(generator, file, given.pool)
        tell(f"annotate at {address(bound)} (Ctrl-C ends); saved to {output}")
        serve(annotation_app(desk, given.codes), bound, open_browser=not given.no_browser)


def open_annotation(
    generator: ImageGenerator, name: str, path: Path, layers: int | None
) -> tuple[ImageGenerator, AnnotationFile]:
    """The file to annotate, and the generator as its view codes presume it (behind content directions, if any).

    layers: how many first layers a new file's codes replace; None takes the generator's own, or what the file says.

    Raises:
        GanverseError: the file is broken, or does not fit the generator or `layers`.
    """
    if layers is not None or not path.exists():
        dims = layer_dims(generator.style_sizes, layers or generator.view_layers)
        return generator, AnnotationFile(path, ViewCodes(name, dims, ()))
    found = ViewCodes.load(path, allow_empty=True)
    file = AnnotationFile(path, ViewCodes(name, found.view_dims, (), found.directions))
    if found.codes:
        generator, _ = open_views(path, generator)
    elif found.directions is not None:
        raise GanverseError(f"expected view codes beside the directions that {path} names, got none; restore them")
    found.check(generator)
    return generator, file


@dataclass(frozen=True)
class Decision:
    """About the view code of a seed: kept at an azimuth (degrees), dropped, or (neither) undecided again."""

    seed: int
    azimuth: float | None = None
    drop: bool = False

    def __post_init__(self) -> None:
        if self.azimuth is not None and self.drop:
            raise GanverseError(f"expected view code {self.seed} to be kept or dropped, got both")


def decide(views: ViewCodes, decision: Decision) -> ViewCodes:
    """The view codes after one decision; its seed is no longer uncertain. A code that is kept anew comes last."""
    seed, azimuth = decision.seed, decision.azimuth
    dropped = tuple(other for other in views.dropped if other != seed) + ((seed,) if decision.drop else ())
    code = None if azimuth is None else ViewCode(seed, azimuth)
    codes = tuple(code if code and old.seed == seed else old for old in views.codes if code or old.seed != seed)
    if code and code not in codes:
        codes += (code,)
    uncertain = tuple(other for other in views.uncertain if other != seed)
    return replace(views, codes=codes, dropped=dropped, uncertain=uncertain)


@dataclass(frozen=True)
class Revision:
    """The contents of an annotation file and their name: two readers of the same name have seen the same file."""

    views: ViewCodes
    name: str


class AnnotationFile:
    """The file itself is the only memory, so an editor, a second tab and a second server are all noticed alike.

    empty: what a missing file stands for; an existing one must have the same generator, dimensions and directions.

    Raises:
        GanverseError: the file is broken or belongs to another generator or other dimensions.
    """

    def __init__(self, path: Path, empty: ViewCodes) -> None:
        self.path = path
        self._empty = empty
        self.read()

    def read(self) -> Revision:
        """The file as it is now."""
        if not self.path.exists():
            return Revision(self._empty, "")
        views = ViewCodes.load(self.path, allow_empty=True)
        if views.generator != self._empty.generator:
            raise GanverseError(
                f"expected view codes of generator {self._empty.generator[:12]}... in {self.path}, got those of "
                f"{views.generator[:12]}...; give another file with --output"
            )
        if (views.view_dims, views.directions) != (self._empty.view_dims, self._empty.directions):
            raise GanverseError(
                f"expected {self.path} to replace the same dimensions of w* as this annotation, got others; omit "
                "--layers to keep the file's own, or give another file with --output"
            )
        return Revision(views, self._name())

    def write(self, views: ViewCodes) -> Revision:
        """Replaces the file atomically."""
        views.save(self.path)
        return Revision(views, self._name())

    def _name(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


class Desk:
    """Candidates of one generator and the decisions about them; every method may be called from any thread.

    pool: how many seeds are proposed at once. candidates: a PNG of objects under every seed.
    """

    def __init__(self, generator: ImageGenerator, file: AnnotationFile, pool: int = 96) -> None:
        check_ranges({"--pool": pool}, **{"--pool": FROM_1})
        self._generator, self._pool, self.file = generator, pool, file
        self._lock = threading.Lock()
        self._tried = 0
        views = file.read().views
        self._dims = views.view_dims
        self.candidates: dict[int, bytes] = {}
        self._add([code.seed for code in views.codes] + list(views.dropped))
        self.propose()

    def propose(self) -> list[int]:
        """The next pool of seeds, without those that are already there."""
        with self._lock:
            seeds = range(self._tried, self._tried + self._pool)
            self._tried += self._pool
            return self._add(seeds)

    def read(self) -> Revision:
        """The file as it is now; codes that an editor has put there become candidates too."""
        with self._lock:
            return self._read()

    def decide(self, revision: str, decisions: Sequence[Decision]) -> tuple[bool, Revision]:
        """Saves decisions; False, and nothing is saved, if the file is no longer the one called `revision`."""
        with self._lock:
            strangers = [decision.seed for decision in decisions if decision.seed not in self.candidates]
            if strangers:
                raise GanverseError(f"expected seeds of candidates on this page, got {strangers[:5]}; reload the page")
            now = self._read()
            if now.name != revision:
                return False, now
            views = now.views
            for decision in decisions:
                views = decide(views, decision)
            return True, self.file.write(views)

    def _read(self) -> Revision:
        revision = self.file.read()
        self._add([code.seed for code in revision.views.codes])
        return revision

    def _add(self, seeds: Sequence[int]) -> list[int]:
        """Makes candidates of the seeds that are none yet; returns those."""
        missing = [seed for seed in seeds if seed not in self.candidates]
        if missing:
            pictures = map(column, images_of_views(self._generator, self._dims, missing))
            self.candidates.update(zip(missing, pictures, strict=True))
        return missing


def column(images: Float[Tensor, "objects 3 height width"], largest: int = 128) -> bytes:
    """A PNG of the objects one below the other, each at most `largest` pixels wide."""
    width = images.shape[3]
    if width > largest:
        shape = (round(images.shape[2] * largest / width), largest)
        images = nn.functional.interpolate(images, shape, mode="bilinear", antialias=True)
    return png_bytes(image_grid(images, 1), compression=1)


def annotation_app(desk: Desk, goal: int) -> Starlette:
    """The page over a desk; goal: codes to keep."""

    async def state(_: Request) -> Response:
        revision = await run_in_threadpool(desk.read)
        path = desk.file.path
        return JSONResponse({"goal": goal, "file": str(path), "path": str(path.resolve()), **_facts(desk, revision)})

    async def decide(request: Request) -> Response:
        revision, decisions = _decisions(await read_json(request))
        saved, now = await run_in_threadpool(desk.decide, revision, decisions)
        return JSONResponse({"revision": now.name}) if saved else JSONResponse(_facts(desk, now), status_code=409)

    async def more(_: Request) -> Response:
        return JSONResponse({"candidates": _columns(await run_in_threadpool(desk.propose))})

    async def picture(request: Request) -> Response:
        seed = request.path_params["seed"]
        picture = desk.candidates.get(int(seed)) if seed.isdecimal() and len(seed) < 18 else None
        if picture is None:
            raise GanverseError("expected the seed of a candidate on this page; reload the page")
        return Response(picture, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    return application(
        "annotate.html",
        [
            Route("/state", state),
            Route("/decisions", decide, methods=["POST"]),
            Route("/more", more, methods=["POST"]),
            Route("/column/{seed}.png", picture),
        ],
    )


def _facts(desk: Desk, revision: Revision) -> dict[str, Any]:
    return {
        "revision": revision.name,
        "generator": revision.views.generator,
        "candidates": _columns(list(desk.candidates)),
        "azimuths": {str(code.seed): code.azimuth_degrees for code in revision.views.codes},
        "dropped": list(revision.views.dropped),
        "uncertain": list(revision.views.uncertain),
    }


def _columns(seeds: Sequence[int]) -> list[dict[str, int]]:
    return [{"seed": seed} for seed in seeds]


def _decisions(document: dict[str, Any]) -> tuple[str, list[Decision]]:
    revision, listed = document.get("revision"), document.get("decisions")
    if not isinstance(revision, str) or not isinstance(listed, list):
        raise GanverseError(f"expected a revision and a list of decisions, got {quoted(document)}; reload the page")
    return revision, [build(Decision, one) for one in listed]
