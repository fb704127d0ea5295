"""Evaluation: metrics with confidence intervals, protocols, figures, and the report of `python evaluate.py`."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.evaluation.alignment import Alignment
    from ganverse.evaluation.catalog import CATALOG
    from ganverse.evaluation.evaluate import evaluate_loaded, evaluate_models
    from ganverse.evaluation.metrics import Score, mask_iou, masked_l1, masked_psnr
    from ganverse.evaluation.models import ModelPaths, Models, load_models, models_of_run
    from ganverse.evaluation.settings import EvaluationSettings
    from ganverse.evaluation.surfaces import SurfaceDistances, sample_surface

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
