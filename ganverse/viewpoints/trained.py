"""View codes with the azimuths at which a training has left their cameras: `ganverse views --azimuths trained`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from ganverse.errors import GanverseError
from ganverse.inverse.weights import load_inverse
from ganverse.viewpoints.annotation import UnfinishedViews
from ganverse.viewpoints.view_codes import ViewCode

_TURNED_DEGREES = 90.0


def take_trained_azimuths(file: Path, network: Path, generator_sha256: str) -> Path:
    """Rewrites the azimuths in `file`, whole degrees; codes now more than 90 degrees away are its `unsure` ones.

    network: weights of an inverse network that was trained on these view codes. Returns the file.

    Raises:
        GanverseError: a file is missing or broken, or the network knows another generator or another number of views.
    """
    views, model = UnfinishedViews.load(file), load_inverse(network)
    if model.card.generator_sha256 != generator_sha256 or len(model.cameras) != len(views):
        raise GanverseError(
            f"expected {network} to be trained on the {len(views)} view codes of {file} and their generator "
            f"{generator_sha256[:12]}..., got {len(model.cameras)} cameras and generator "
            f"{model.card.generator_sha256[:12] or 'car-world'}...; give the views file of that training"
        )
    degrees = model.cameras.azimuth.rad2deg()
    moved = ((degrees - views.azimuth_degrees + 180).remainder(360) - 180).abs()
    codes = tuple(
        ViewCode(code.seed, float(azimuth.round()) % 360) for code, azimuth in zip(views.codes, degrees, strict=True)
    )
    turned = tuple(code.seed for code, way in zip(codes, moved, strict=True) if way > _TURNED_DEGREES)
    replace(views, codes=codes, doubted=turned).save(file)
    say = partial(Console(stderr=True).print, highlight=False, soft_wrap=True)
    say(f"cameras have moved by {float(moved.median()):.1f} degrees in the median; turned to another side: {turned}")
    return file
