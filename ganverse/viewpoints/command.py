"""`ganverse views`: view codes of a GAN, with azimuths from a pose regressor, silhouettes or trained cameras."""

from __future__ import annotations

import re
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from ganverse.arguments import CommandParser
from ganverse.devices import add_device_option, device_of, find_device
from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.weights import GeneratorCard, load_generator
from ganverse.inverse.weights import load_inverse
from ganverse.io import image_grid, save_image
from ganverse.masks.segmenter import CAR_WEIGHTS, Segmenter
from ganverse.pretrained import generator_path, segmenter_beside, views_beside
from ganverse.viewpoints.automatic import AutomaticSettings, find_automatic_views
from ganverse.viewpoints.directions import StyleAnalysis, directions_path, find_content_directions, save_directions
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.proposal import ProposalSettings, propose_view_codes
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims

_SHOWN = 3
_TURNED_DEGREES = 90.0
_DESCRIPTION = """\
Find view codes of a GAN from all sides and write them to NAME-views.yaml, which you may edit by hand.

A view code replaces the part of w* that determines the viewpoint, so any object is seen from its side. Azimuths are
coarse; training refines them. Sources of azimuths:
  regressor  a network that predicts the pose of cars; default for car generators
  auto       silhouettes, for any category with a segmenter (see `ganverse masks`). Assumes mirror-symmetric objects,
             longer than wide and seen from slightly above. Also writes NAME-views.png, for checking the codes
  --trained  cameras of an inverse network trained on the codes already in the file
Then check and correct the codes with `ganverse annotate`."""


def views_command(arguments: Sequence[str]) -> Path:
    """`ganverse views GENERATOR`: writes view codes; returns the file.

    Raises:
        GanverseError: something is missing or does not fit, or there are not enough consistent codes.
    """
    given = _parser().parse_args(list(arguments))
    device, path = find_device(given.device), generator_path(given.generator)
    network, card = load_generator(path)
    output = given.output or views_beside(path)
    report = partial(Console(stderr=True).print, highlight=False, soft_wrap=True, markup=False)
    if given.trained is not None:
        _take_trained_azimuths(output, given.trained, card.sha256, report)
    elif _source_of_azimuths(given, card) == "auto":
        segmenter = _segmenter(given, path, card).to(device)
        _find_automatically(network.to(device), card.sha256, segmenter, output, given, report)
    else:
        _find_with_regressor(network.to(device), card.sha256, output, given)
    report(f"view codes: {output}")
    return output


def _parser() -> CommandParser:
    parser = CommandParser(prog="ganverse views", description=_DESCRIPTION, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("generator", nargs="?", default="car", help='.safetensors file, or "car" (%(default)s)')
    parser.add_argument("-o", "--output", type=Path, help="output file (default: NAME-views.yaml beside the weights)")
    parser.add_argument("--azimuths", choices=("regressor", "auto"), help="source of azimuths (see above)")
    parser.add_argument("--trained", metavar="RUN", help="take azimuths from this run or inverse network")
    parser.add_argument("--codes", type=int, default=24, help="number of view codes (default: %(default)s)")
    parser.add_argument("--pool", type=int, help="seeds to try (default: 360 with auto, 1500 with regressor)")
    parser.add_argument(
        "--layers",
        type=int,
        help="first layers of w* that a code replaces (default: measured with auto, 3 with regressor)",
    )
    parser.add_argument("--front", type=int, metavar="SEED", help="auto: a code of the front, if 0 shows the rear")
    parser.add_argument("--segmenter", type=Path, help="auto: segmenter weights (default: NAME-segmenter.safetensors)")
    add_device_option(parser)
    return parser


def _source_of_azimuths(given: Namespace, card: GeneratorCard) -> str:
    """Refuses to apply the pose regressor to other categories by accident."""
    if given.azimuths is None and not _shows_cars(given, card):
        raise GanverseError(
            f"expected --azimuths auto for {given.generator}, since the pose regressor only knows cars and this "
            "generator's card does not mention them; give --azimuths regressor if it does synthesize cars"
        )
    return given.azimuths or "regressor"


def _shows_cars(given: Namespace, card: GeneratorCard) -> bool:
    named = f"{card.trained_on} {card.notes} {card.source}".lower()
    return given.generator == "car" or re.search(r"(?<![a-z])cars?(?![a-z])", named) is not None


def _segmenter(given: Namespace, generator: Path, card: GeneratorCard) -> Segmenter:
    own = segmenter_beside(generator)
    if given.segmenter is None and not own.is_file() and not _shows_cars(given, card):
        raise GanverseError(
            f"expected a segmenter at {own}, found none; run `ganverse masks {generator}` or give --segmenter"
        )
    return Segmenter.from_pretrained(given.segmenter or (own if own.is_file() else CAR_WEIGHTS))


def _find_automatically(
    network: ImageGenerator,
    name: str,
    segmenter: Segmenter,
    output: Path,
    given: Namespace,
    report: Callable[[str], None],
) -> None:
    pool = AutomaticSettings.pool if given.pool is None else given.pool
    settings = AutomaticSettings(given.layers, pool, codes=given.codes, front=given.front)
    found = find_automatic_views(network, name, segmenter, settings, report)
    found.codes.save(output)
    picture, uncertain = output.with_suffix(".png"), found.codes.uncertain
    columns = found.images[:, :_SHOWN].transpose(0, 1).flatten(0, 1)
    save_image(image_grid(columns, len(found.codes)), picture)
    rear = min(found.codes.codes, key=lambda code: abs(code.azimuth_degrees - 180))
    report(
        f"{len(found.codes)} codes from azimuth 0 to 360, left to right in {picture}; 0 is the front, 90 the left side"
    )
    report(f"{len(uncertain)} of them may be half a turn off (`ganverse annotate` shows them first): {uncertain}")
    report(f"if 0 shows the rear, run again with --front {rear.seed}")


def _find_with_regressor(network: ImageGenerator, name: str, output: Path, given: Namespace) -> None:
    regressor = PoseRegressor.from_pretrained().to(device_of(network))
    analysis, proposal = StyleAnalysis(), ProposalSettings(count=given.codes)
    analysis = analysis if given.layers is None else replace(analysis, layers=given.layers)
    proposal = proposal if given.pool is None else replace(proposal, candidates=given.pool)
    directions = find_content_directions(network, regressor, analysis)
    dims = tuple(analysis.directions + dim for dim in layer_dims(network.style_sizes, analysis.layers))
    codes = propose_view_codes(directions.around(network), name, dims, regressor, proposal)
    replace(codes, directions=save_directions(directions_path(output), directions)).save(output)


def _take_trained_azimuths(file: Path, source: str, generator_sha256: str, report: Callable[[str], None]) -> None:
    """Rewrites the azimuths in `file` in whole degrees; codes that moved over 90 degrees become the uncertain ones."""
    views, model = ViewCodes.load(file), load_inverse(source)
    if model.card.generator_sha256 != generator_sha256 or len(model.cameras) != len(views):
        raise GanverseError(
            f"expected {source} to be trained on the {len(views)} view codes of {file} and their generator "
            f"{generator_sha256[:12]}..., got {len(model.cameras)} cameras and generator "
            f"{model.card.generator_sha256[:12] or 'unknown'}...; give the view-code file of that training"
        )
    degrees = model.cameras.azimuth.detach().rad2deg()
    moved = ((degrees - views.azimuth_degrees + 180).remainder(360) - 180).abs()
    codes = tuple(
        ViewCode(code.seed, float(azimuth.round()) % 360) for code, azimuth in zip(views.codes, degrees, strict=True)
    )
    turned = tuple(code.seed for code, way in zip(codes, moved, strict=True) if way > _TURNED_DEGREES)
    replace(views, codes=codes, uncertain=turned).save(file)
    report(f"cameras moved by {float(moved.median()):.1f} degrees (median); moved to another side: {turned}")
