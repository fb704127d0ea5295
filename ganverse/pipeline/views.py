"""View codes without a human: `ganverse views`, with the car pose regressor in the annotator's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from ganverse.evaluation.pose_regressor import PoseRegressor
from ganverse.evaluation.view_analysis import ViewAnalysis, pose_reader, view_dims_of
from ganverse.generators.weights import load_generator
from ganverse.pipeline.configuration import Section, build_parser, parse, section_of
from ganverse.pipeline.sources import generator_path
from ganverse.viewpoints.proposal import ProposalSettings, propose_view_codes
from ganverse.viewpoints.view_codes import layer_dims


@dataclass(frozen=True)
class ViewsRun:
    """Find view codes all round, choosing the most consistent ones, annotated with their 30-degree bin.

    generator: "car", or the .safetensors file of a car GAN.
    output: the file to write; null takes NAME-views.yaml beside the weights.
    whole_layers: replace all dimensions of the first `analysis.layers` layers, instead of the most correlated ones.
    """

    generator: str = "car"
    output: Path | None = None
    whole_layers: bool = False
    analysis: ViewAnalysis = field(default_factory=ViewAnalysis)
    proposal: ProposalSettings = field(default_factory=ProposalSettings)


def find_views(run: ViewsRun) -> Path:
    """Writes the view codes; returns the file.

    Raises:
        GanverseError: the weights are missing, or not enough consistent codes were found.
    """
    path = generator_path(run.generator)
    generator, card = load_generator(path)
    regressor = PoseRegressor.car()
    if run.whole_layers:
        dims = layer_dims(generator.style_sizes, run.analysis.layers)
    else:
        dims = view_dims_of(generator, regressor, run.analysis)
    codes = propose_view_codes(generator, card.sha256, dims, pose_reader(regressor), run.proposal)
    output = run.output or path.with_name(f"{path.stem}-views.yaml")
    codes.save(output)
    return output


def views_command(arguments: Sequence[str]) -> None:
    """`ganverse views ...`."""
    section = Section("", ViewsRun)
    parser = build_parser("ganverse views", (ViewsRun.__doc__ or "").split("\n")[0], [section])
    output = find_views(section_of(parse(parser, arguments, None), section))
    Console(stderr=True).print(f"view codes: {output}", highlight=False, soft_wrap=True)
