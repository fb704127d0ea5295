"""Every number of every setting has a range: what lies outside is one sentence when the settings are made."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ganverse.errors import GanverseError

SETTINGS = {
    "data.multi_view": "MultiViewStream",
    "data.sampling": "SamplingSettings",
    "data.sources": "SourceSettings",
    "data.world_images": "WorldImages",
    "evaluation.settings": "EvaluationSettings Photographs",
    "inverse.camera_survey": "SurveyPlan",
    "inverse.losses": "InverseLossWeights",
    "inverse.network": "InverseNetworkConfig",
    "inverse.objective": "SilhouetteSchedule",
    "masks.filtering": "MaskFilter",
    "masks.learning": "LearningSettings",
    "masks.segmenter": "SegmenterTraining",
    "neural_renderer.found_views": "FoundViewSettings",
    "neural_renderer.mapping": "MappingSettings",
    "neural_renderer.objective": "DisentangleWeights",
    "neural_renderer.refinement": "DescentSettings",
    "neural_renderer.settings": "DisentangleSettings",
    "reconstruction.refinement": "RefinementSettings",
    "rendering.scene": "SoftMaskSettings",
    "tasks.dataset_generation": "DatasetGeneration",
    "tasks.disentanglement": "Disentanglement",
    "tasks.image_gan": "GrowthStage ImageGAN",
    "tasks.inverse_graphics": "CameraStart InverseGraphics PerceptualSettings",
    "training.media": "SampleLogger",
    "viewpoints.automatic": "AutomaticSettings",
    "viewpoints.proposal": "ProposalSettings",
    "viewpoints.directions": "StyleAnalysis",
}
NEEDED: dict[str, dict[str, Any]] = {
    "DatasetGeneration": {"output": Path("samples")},
    "GrowthStage": {"resolution": 8, "images": 8, "r1_gamma": 0.1},
}


def numbers() -> Iterator[tuple[type, str, float]]:
    """Every numeric argument with values that none of them takes."""
    for module, names in SETTINGS.items():
        for kind in (getattr(import_module(f"ganverse.{module}"), name) for name in names.split()):
            for name, parameter in inspect.signature(kind).parameters.items():
                types = set(str(parameter.annotation).removesuffix(" | None").split(" | "))
                if types <= {"int", "float"}:
                    lowest = -99 if name == "elevation_degrees" else -1
                    yield from (
                        (kind, name, value) for value in (lowest, math.nan, math.inf)[: 3 if "float" in types else 1]
                    )


@pytest.mark.parametrize(("kind", "name", "value"), list(numbers()))
def test_numbers_out_of_range(kind: type, name: str, value: float) -> None:
    with pytest.raises(GanverseError, match=r"^expected [^\n]+$"):
        kind(**{**NEEDED.get(kind.__name__, {}), name: value})


def test_there_are_many_of_them() -> None:
    assert len(list(numbers())) > 150
