"""`ganverse studio`: turn an object and swap its parts, as a mesh and through StyleGAN-R."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from torch import Tensor

from ganverse.apps.server import (
    add_page_options,
    address,
    application,
    listen,
    read_body,
    read_json,
    serve,
    tell,
)
from ganverse.apps.stage import ELEVATIONS, SAMPLING, SCALES, Look, Stage
from ganverse.arguments import CommandParser
from ganverse.data.sources import CAR_WORLD, SourceSettings, open_source
from ganverse.devices import find_device
from ganverse.errors import GanverseError, check_ranges, quoted
from ganverse.evaluation.models import ModelPaths, models_of_run
from ganverse.generators.framing import unframed
from ganverse.inverse.weights import load_inverse
from ganverse.io import png_bytes
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.pretrained import INVERSE, STYLEGAN_R, find_weights
from ganverse.reconstruction.photos import masker_of

PORT = 8711
LARGEST_UPLOAD = 32 * 2**20
NO_NEURAL = (
    "There is no StyleGAN-R yet: `python train.py --run runs/mine` trains one (its last stage takes the longest), and "
    "`ganverse studio --run runs/mine` then shows it here."
)


def studio_command(arguments: Sequence[str]) -> None:
    """`ganverse studio ...`; returns when the person stops the server.

    Raises:
        GanverseError: weights that are missing or do not fit, a port that is taken.
    """
    parser = CommandParser(
        prog="ganverse studio",
        description="Rotate an object or a photo in the browser, as a mesh and with StyleGAN-R, and swap its parts.",
    )
    parser.add_argument("--run", type=Path, help="run directory of train.py (default: the shipped weights)")
    parser.add_argument("--inverse", type=Path, help="another inverse network (.safetensors)")
    parser.add_argument("--neural", type=Path, help="another StyleGAN-R (.safetensors)")
    parser.add_argument("--objects", type=int, default=12, help="objects in the gallery (default: %(default)s)")
    add_page_options(parser, PORT)
    given = parser.parse_args(list(arguments))
    with listen(given.port) as bound:
        device = find_device(given.device)
        tell(f"sampling {given.objects} objects")
        stage = open_stage(
            run=given.run, inverse=given.inverse, stylegan_r=given.neural, objects=given.objects, device=device
        )
        if not stage.neural:
            tell(NO_NEURAL)
        tell(f"studio at {address(bound)} (Ctrl-C ends)")
        serve(studio_app(stage), bound, open_browser=not given.no_browser)


def open_stage(
    *,
    run: Path | None = None,
    inverse: str | Path | None = None,
    stylegan_r: str | Path | None = None,
    objects: int = 12,
    device: torch.device | str = "cpu",
) -> Stage:
    """Loads the networks and samples the first objects of the gallery.

    Args:
        run: run directory; None takes the weights in the package.
        inverse: another inverse network of the same generator.
        stylegan_r: another StyleGAN-R.
        objects: how many to sample.
        device: of all networks.

    Raises:
        GanverseError: files that are missing or do not belong together.
    """
    check_ranges({"--objects": objects}, **{"--objects": (1, 1000)})
    paths = ModelPaths.shipped() if run is None else models_of_run(run)
    trained, neural = inverse or paths.inverse or paths.oracle, stylegan_r or paths.stylegan_r
    if trained is None:
        raise GanverseError("expected an inverse network, found none; train one with `python train.py` and give --run")
    path = find_weights(trained, INVERSE)
    model = load_inverse(path, device)
    if paths.folder is not None:
        raise GanverseError(f"expected a run trained on a generator, got {run}, trained on the images of a folder")
    settings = paths.source or SourceSettings(CAR_WORLD, world_views=model.card.views)
    # the GAN's own images at the network's resolution, whatever synthesized those of its training
    source = open_source(replace(settings, resolution=model.card.config.resolution, renderer=None, reader=None))
    sampler = source.sampler(SAMPLING).to(device)
    renderer = None if neural is None else load_stylegan_r(find_weights(neural, STYLEGAN_R), device)[0]
    masker = source.masker or masker_of(model.card, path, device)
    stage = Stage(model, sampler, masker, renderer, unframed(source.generator)[1])
    names = [stage.sample() for _ in range(objects)]
    # The first image loads the rasterizer's kernels, which would keep the first visitor waiting.
    stage.show(Look(names[0], names[0], names[0], 0.0, stage.usual_elevation_degrees))
    return stage


def studio_app(stage: Stage) -> Starlette:
    """The page over a stage."""
    files = {
        "picture.png": (stage.picture, "image/png"),
        "object.glb": (stage.glb, "model/gltf-binary"),
        "turntable.gif": (stage.turntable, "image/gif"),
    }

    async def state(_: Request) -> Response:
        facts = {
            "objects": list(stage.objects),
            "elevation": stage.usual_elevation_degrees,
            "elevations": ELEVATIONS,
            "scales": SCALES,
            "note": None if stage.neural else NO_NEURAL,
        }
        return JSONResponse(facts)

    async def draw(request: Request) -> Response:
        look = look_of(await read_json(request))
        return JSONResponse(await run_in_threadpool(_drawn, stage, look))

    async def sample(_: Request) -> Response:
        return JSONResponse({"name": await run_in_threadpool(stage.sample)})

    async def photo(request: Request) -> Response:
        name = await run_in_threadpool(stage.add_photo, await read_body(request, LARGEST_UPLOAD))
        azimuth, elevation = stage.camera_of(name)
        return JSONResponse({"name": name, "azimuth": azimuth, "elevation": elevation})

    async def thumbnail(request: Request) -> Response:
        return Response(stage.thumbnail(request.path_params["name"]), media_type="image/png")

    async def download(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in files:
            raise GanverseError(f"expected one of {', '.join(files)}, got {quoted(name)}")
        make, kind = files[name]
        data = await run_in_threadpool(make, look_of(await read_json(request)))
        return Response(data, media_type=kind)

    return application(
        "studio.html",
        [
            Route("/state", state),
            Route("/draw", draw, methods=["POST"]),
            Route("/sample", sample, methods=["POST"]),
            Route("/photo", photo, methods=["POST"]),
            Route("/thumbnail/{name}.png", thumbnail),
            Route("/download/{file}", download, methods=["POST"]),
        ],
    )


def look_of(document: Mapping[str, Any]) -> Look:
    """A scene in the page's words; GanverseError unless it is whole."""
    try:
        shape, texture, background = (str(document[part]) for part in ("shape", "texture", "background"))
        azimuth, elevation, scale = (float(document[number]) for number in ("azimuth", "elevation", "scale"))
    except (KeyError, TypeError, ValueError) as error:
        raise GanverseError(
            f"expected shape, texture, background, azimuth, elevation and scale, got {quoted(dict(document))}"
        ) from error
    return Look(shape, texture, background, azimuth, elevation, scale)


def _drawn(stage: Stage, look: Look) -> dict[str, Any]:
    start = time.perf_counter()
    mesh, *neural = (_data_url(images[0]) for images in stage.show(look))
    return {
        "mesh": mesh,
        "neural": neural[0] if neural else None,
        "milliseconds": round(1000 * (time.perf_counter() - start)),
    }


def _data_url(image: Float[Tensor, "3 height width"]) -> str:
    """A PNG in the place of a URL."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(image, compression=1)).decode()
