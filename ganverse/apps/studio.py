"""`ganverse studio`: turn an object and swap its parts, as a mesh and as StyleGAN-R paints it."""

from __future__ import annotations

import math
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ganverse.apps.gallery import Gallery
from ganverse.apps.png import data_url
from ganverse.apps.server import address, application, json_object, listen, serve
from ganverse.apps.stage import ELEVATIONS, SCALES, Look, Stage
from ganverse.errors import GanverseError
from ganverse.evaluation.models import ModelPaths, load_models, models_of_run
from ganverse.masks.segmenter import Segmenter

PORT = 8711
LARGEST_UPLOAD = 32 * 1024 * 1024
NO_NEURAL = (
    "There is no StyleGAN-R yet: `python train.py --run runs/mine` trains one (its last stage takes the longest), and "
    "`ganverse studio --run runs/mine` then shows it here."
)


def studio_command(arguments: Sequence[str]) -> None:
    """`ganverse studio ...`; returns when the person stops the server.

    Raises:
        GanverseError: weights that are missing or do not fit, a port that is taken.
    """
    parser = ArgumentParser(
        prog="ganverse studio",
        description="Turn an object or a photo on a page, as a mesh and as StyleGAN-R paints it; swap its parts.",
    )
    parser.add_argument("--run", type=Path, help="run directory of train.py; without one, the weights in the package")
    parser.add_argument("--inverse", type=Path, help="another inverse network (.safetensors)")
    parser.add_argument("--neural", type=Path, help="another StyleGAN-R (.safetensors)")
    parser.add_argument("--objects", type=int, default=12, help="in the gallery at the start (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="of 127.0.0.1; 0 for any free one (%(default)s)")
    parser.add_argument("--no-browser", action="store_true", help="only print the page's address")
    given = parser.parse_args(list(arguments))
    with listen(given.port) as bound:
        say = partial(Console(stderr=True).print, highlight=False, soft_wrap=True)
        say(f"drawing {given.objects} objects")
        stage = open_stage(_paths(given), given.objects, given.device)
        if not stage.neural:
            say(NO_NEURAL)
        say(f"studio at {address(bound)} (Ctrl-C ends)")
        serve(studio_app(stage), bound, open_browser=not given.no_browser)


def _paths(given: Namespace) -> ModelPaths:
    paths = ModelPaths.shipped() if given.run is None else models_of_run(given.run)
    if paths.inverse is None and paths.oracle is None and given.inverse is None:
        raise GanverseError("expected an inverse network, found none; train one with `python train.py` and give --run")
    return replace(paths, inverse=given.inverse or paths.inverse, stylegan_r=given.neural or paths.stylegan_r)


def open_stage(paths: ModelPaths, objects: int, device: torch.device | str = "cpu") -> Stage:
    """Loads the networks and draws the first objects of the gallery.

    Raises:
        GanverseError: files that are missing or do not belong together.
    """
    if objects < 1:
        raise GanverseError(f"expected one object or more in the gallery, got {objects}")
    models = load_models(replace(paths, pose_regressor=None), device)
    model, source = (models.inverse, models.gan) if models.gan else (models.oracle, models.world)
    if model is None or source is None:
        raise GanverseError("expected an inverse network and the generator it was trained on, got only one of them")
    gallery = Gallery(model.network, source, source.masker or Segmenter.from_pretrained().to(device))
    stage = Stage(model, gallery, models.renderer)
    names = [stage.sample() for _ in range(objects)]
    # The first picture loads the rasterizer's kernels, which would keep the first visitor waiting.
    stage.show(Look(names[0], names[0], names[0], 0.0, stage.usual_elevation_degrees))
    return stage


def studio_app(stage: Stage) -> Starlette:
    """The page over a stage."""

    async def state(_: Request) -> Response:
        facts = {
            "objects": list(stage.gallery.objects),
            "elevation": stage.usual_elevation_degrees,
            "elevations": ELEVATIONS,
            "scales": SCALES,
            "note": None if stage.neural else NO_NEURAL,
        }
        return JSONResponse(facts)

    async def draw(request: Request) -> Response:
        look = look_of(await json_object(request))
        return JSONResponse(await run_in_threadpool(_drawn, stage, look))

    async def sample(_: Request) -> Response:
        return JSONResponse({"name": await run_in_threadpool(stage.sample)})

    async def photo(request: Request) -> Response:
        data = await _upload(request)
        name = await run_in_threadpool(stage.add_photo, data)
        return JSONResponse({"name": name, **_own_view(stage, name)})

    async def thumbnail(request: Request) -> Response:
        return Response(stage.thumbnail(request.path_params["name"]), media_type="image/png")

    return application(
        "studio.html",
        [
            Route("/state", state),
            Route("/draw", draw, methods=["POST"]),
            Route("/sample", sample, methods=["POST"]),
            Route("/photo", photo, methods=["POST"]),
            Route("/thumbnail/{name}.png", thumbnail),
            *_downloads(stage),
        ],
    )


def _downloads(stage: Stage) -> list[Route]:
    files = {
        "picture.png": (stage.picture, "image/png"),
        "object.glb": (stage.glb, "model/gltf-binary"),
        "turntable.gif": (stage.turntable, "image/gif"),
    }

    async def download(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in files:
            raise GanverseError(f"expected one of {', '.join(files)}, got {name}")
        make, kind = files[name]
        data = await run_in_threadpool(make, look_of(request.query_params))
        return Response(data, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    return [Route("/download/{file}", download)]


def look_of(document: Mapping[str, Any]) -> Look:
    """A scene as the page names it; GanverseError unless it is whole."""
    try:
        shape, texture, background = (str(document[part]) for part in ("shape", "texture", "background"))
        azimuth, elevation, scale = (float(document[number]) for number in ("azimuth", "elevation", "scale"))
    except (KeyError, TypeError, ValueError) as error:
        raise GanverseError(f"expected shape, texture, background, azimuth, elevation and scale ({error!r})") from error
    return Look(shape, texture, background, azimuth, elevation, scale)


def _drawn(stage: Stage, look: Look) -> dict[str, Any]:
    start = time.perf_counter()
    shown = stage.show(look)
    mesh = data_url(shown.mesh[0])
    neural = None if shown.neural is None else data_url(shown.neural[0])
    return {"mesh": mesh, "neural": neural, "milliseconds": round(1000 * (time.perf_counter() - start))}


def _own_view(stage: Stage, name: str) -> dict[str, float]:
    """Where the network believes that the photographer stood."""
    camera = stage.gallery.objects[name].seen.camera
    elevation = math.degrees(float(camera.elevation[0]))
    return {
        "azimuth": math.degrees(float(camera.azimuth[0])) % 360,
        "elevation": min(max(elevation, ELEVATIONS[0]), ELEVATIONS[1]),
    }


async def _upload(request: Request) -> bytes:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > LARGEST_UPLOAD:
            raise GanverseError(f"expected a photo of at most {LARGEST_UPLOAD // 2**20} MB; scale it down first")
    return bytes(data)
