"""`ganverse annotate`: give view codes their azimuths on a page, one key each."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ganverse.apps.desk import Candidate, Desk, open_annotation
from ganverse.apps.server import address, application, json_object, listen, serve
from ganverse.data.sources import generator_path, views_beside
from ganverse.errors import GanverseError
from ganverse.generators.weights import load_generator
from ganverse.viewpoints.annotation import Decision, Revision
from ganverse.viewpoints.proposal import CandidateSettings

PORT = 8710


def annotate_command(arguments: Sequence[str]) -> None:
    """`ganverse annotate GENERATOR ...`; returns when the person stops the server.

    Raises:
        GanverseError: files that are missing or do not fit, a port that is taken.
    """
    parser = ArgumentParser(
        prog="ganverse annotate",
        description="Give view codes of a GAN their azimuths on a page, one key each; every key is saved at once.",
    )
    parser.add_argument(
        "generator", nargs="?", default="car", help='.safetensors file of a GAN, or "car" (%(default)s)'
    )
    parser.add_argument("-o", "--output", type=Path, help="file of view codes, also to go on with (NAME-views.yaml)")
    parser.add_argument(
        "--layers", type=int, help="first layers that a view code replaces (as the generator's card says)"
    )
    parser.add_argument("--codes", type=int, default=39, help="how many to keep (%(default)s, as in the paper)")
    parser.add_argument("--pool", type=int, default=96, help="seeds tried to find candidates (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="of 127.0.0.1; 0 for any free one (%(default)s)")
    parser.add_argument("--no-browser", action="store_true", help="only print the page's address")
    given = parser.parse_args(list(arguments))
    with listen(given.port) as bound:
        path = generator_path(given.generator)
        network, card = load_generator(path)
        output = given.output or views_beside(path)
        generator, file = open_annotation(network, card.sha256, output, given.layers)
        say = partial(Console(stderr=True).print, highlight=False, soft_wrap=True)
        say(f"looking at {given.pool} view codes of {path}")
        desk = Desk(generator, file, CandidateSettings(pool=given.pool), given.device)
        say(f"annotate at {address(bound)} (Ctrl-C ends); saved to {output}")
        serve(annotation_app(desk, given.codes), bound, open_browser=not given.no_browser)


def annotation_app(desk: Desk, goal: int) -> Starlette:
    """The page over a desk; goal: codes to keep."""

    async def state(_: Request) -> Response:
        revision = await run_in_threadpool(desk.read)
        path = desk.file.path
        return JSONResponse({"goal": goal, "file": str(path), "path": str(path.resolve()), **_facts(desk, revision)})

    async def decide(request: Request) -> Response:
        revision, decisions = _decisions(await json_object(request))
        saved, now = await run_in_threadpool(desk.decide, revision, decisions)
        return JSONResponse({"revision": now.name}) if saved else JSONResponse(_facts(desk, now), status_code=409)

    async def more(_: Request) -> Response:
        fresh = await run_in_threadpool(desk.propose)
        return JSONResponse({"candidates": [_column(candidate) for candidate in fresh]})

    async def picture(request: Request) -> Response:
        candidate = desk.candidates.get(request.path_params["seed"])
        if candidate is None:
            raise GanverseError("expected the seed of a candidate on this page; reload the page")
        return Response(candidate.picture, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    return application(
        "annotate.html",
        [
            Route("/state", state),
            Route("/decisions", decide, methods=["POST"]),
            Route("/more", more, methods=["POST"]),
            Route("/column/{seed:int}.png", picture),
        ],
    )


def _facts(desk: Desk, revision: Revision) -> dict[str, Any]:
    return {
        "revision": revision.name,
        "generator": revision.views.generator,
        "candidates": [_column(candidate) for candidate in desk.candidates.values()],
        "azimuths": {str(code.seed): code.azimuth_degrees for code in revision.views.codes},
        "dropped": list(revision.views.dropped),
        "unsure": list(revision.views.uncertain),
    }


def _column(candidate: Candidate) -> dict[str, Any]:
    return {"seed": candidate.seed, "agreement": candidate.agreement}


def _decisions(document: dict[str, Any]) -> tuple[str, list[Decision]]:
    revision, listed = document.get("revision"), document.get("decisions")
    if (
        not isinstance(revision, str)
        or not isinstance(listed, list)
        or not all(isinstance(one, dict) for one in listed)
    ):
        raise GanverseError(f"expected a revision and a list of decisions, got {document}; reload the page")
    return revision, [_decision(one) for one in listed]


def _decision(document: dict[str, Any]) -> Decision:
    seed, azimuth, drop = document.get("seed"), document.get("azimuth"), document.get("drop", False)
    degrees = azimuth is None or type(azimuth) in (int, float)
    if type(seed) is not int or not degrees or not isinstance(drop, bool):
        raise GanverseError(f"expected seed, azimuth and drop, got {document}; reload the page")
    return Decision(seed, None if azimuth is None else float(azimuth), drop)
