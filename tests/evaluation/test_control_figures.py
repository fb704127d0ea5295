import pytest
import torch

from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.control import Studio
from ganverse.evaluation.control_figures import more_control_figures
from ganverse.evaluation.figures import Figure
from tests.evaluation.tiny_models import tiny_models


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    models = tiny_models()
    assert models.gan is not None
    assert models.inverse is not None
    assert models.gan.masker is not None
    assert models.renderer is not None
    assert models.pose is not None
    studio = Studio(models.renderer, models.gan, models.inverse, models.pose, models.gan.masker, Alignment())
    batch = models.gan.sampler(0, 1).draw(torch.arange(2)).batch
    return {figure.name: figure for figure in more_control_figures(studio, batch, azimuths=4)}


def test_there_is_one_of_each(figures: dict[str, Figure]) -> None:
    assert set(figures) == {"stylegan-r-ladders", "swap-matrix", "stylegan-r-failures"}
    assert figures["stylegan-r-ladders"].image.width > 10 * 90
    assert figures["swap-matrix"].image.height > 6 * 90
    assert figures["stylegan-r-failures"].image.width > 8 * 90  # 2 scenes x 4 azimuths are all there are


def test_failures_are_counted(figures: dict[str, Figure]) -> None:
    assert "Of 8 pictures" in figures["stylegan-r-failures"].caption
    assert "%" in figures["stylegan-r-failures"].caption
