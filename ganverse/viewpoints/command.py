"""View codes without a human: `ganverse views`; pose regressor, silhouettes or trained cameras for an annotator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from ganverse.data.sources import DataSettings, generator_path, open_segmenter, views_beside
from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator, SubspaceGenerator
from ganverse.generators.weights import load_generator
from ganverse.pipeline.configuration import Section, build_parser, parse, section_of
from ganverse.viewpoints.automatic import AutoViews, find_automatic_views
from ganverse.viewpoints.directions import ContentDirections, save_directions
from ganverse.viewpoints.opening import directions_path
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.proposal import ProposalSettings, propose_view_codes
from ganverse.viewpoints.trained import take_trained_azimuths
from ganverse.viewpoints.view_analysis import ViewAnalysis, content_directions_of, pose_reader, view_dims_of
from ganverse.viewpoints.view_codes import layer_dims


@dataclass(frozen=True)
class ViewsRun:
    """Find view codes all round, choosing the most consistent ones, annotated with their 30-degree bin.

    generator: "car", or the .safetensors file of a GAN.
    output: the file to write; null takes NAME-views.yaml beside the weights (for
        "car", in the current folder).
    azimuths: who annotates: the "regressor" knows cars only and takes all settings but `auto`; "auto" works for any
        category that has a segmenter, and takes only its own; "trained" gives the codes that `output` holds already
        the azimuths of `trained`.
    trained: weights of an inverse network that was trained on these codes, for a short time at least.
    replaces: what a view code replaces in w*: the first `analysis.layers` "layers" as a whole, but for the content
        directions, which turns objects best; or the `analysis.count` most correlated single "dimensions" of them (the
        paper's way).
    content_directions: so many directions of these layers, which tell most of shape and paint and least of the
        viewpoint, stay with the object. More keep more of it, fewer turn it more exactly.
    """

    generator: str = "car"
    output: Path | None = None
    azimuths: Literal["regressor", "auto", "trained"] = "regressor"
    trained: Path | None = None
    auto: AutoViews = field(default_factory=AutoViews)
    replaces: Literal["layers", "dimensions"] = "layers"
    content_directions: int = 2
    analysis: ViewAnalysis = field(default_factory=lambda: ViewAnalysis(layers=3, view_weight=4.0, samples=4000))
    proposal: ProposalSettings = field(default_factory=ProposalSettings)


def find_views(run: ViewsRun) -> Path:
    """Writes the view codes; returns the file.

    Raises:
        GanverseError: something is missing or does not fit, or not enough consistent codes were found.
    """
    path = generator_path(run.generator)
    network, card = load_generator(path)
    output = run.output or views_beside(path)
    if run.azimuths == "auto":
        segmenter = open_segmenter(DataSettings(generator=run.generator, category=_category(run.generator)))
        return find_automatic_views(network, card.sha256, segmenter, output, run.auto)
    if run.azimuths == "trained":
        if run.trained is None:
            raise GanverseError("expected --trained RUN/inverse/inverse.safetensors with --azimuths trained, got none")
        return take_trained_azimuths(output, run.trained, card.sha256)
    regressor = PoseRegressor.car()
    generator: ImageGenerator = network
    found: ContentDirections | None = None
    if run.replaces == "dimensions":
        dims = view_dims_of(network, regressor, run.analysis)
    else:
        dims = layer_dims(network.style_sizes, run.analysis.layers)
    if run.replaces == "layers" and run.content_directions:
        found = content_directions_of(network, regressor, run.analysis, run.content_directions)
        generator = SubspaceGenerator(network, found.read, found.write)
        dims = tuple(run.content_directions + dim for dim in dims)
    codes = propose_view_codes(generator, card.sha256, dims, pose_reader(regressor), run.proposal)
    if found is not None:
        codes = replace(codes, directions=save_directions(directions_path(output), found))
    codes.save(output)
    return output


def _category(generator: str) -> Literal["car", "other"]:
    return "car" if generator == "car" else "other"


def views_command(arguments: Sequence[str]) -> None:
    """`ganverse views ...`."""
    section = Section("", ViewsRun)
    parser = build_parser("ganverse views", (ViewsRun.__doc__ or "").split("\n")[0], [section])
    output = find_views(section_of(parse(parser, arguments, None), section))
    Console(stderr=True).print(f"view codes: {output}", highlight=False, soft_wrap=True)
