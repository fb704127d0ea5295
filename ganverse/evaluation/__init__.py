"""Evaluation: metrics with confidence intervals, protocols, figures, and the report of `python evaluate.py`."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.evaluation.alignment import Alignment as Alignment
    from ganverse.evaluation.catalog import CATALOG as CATALOG
    from ganverse.evaluation.evaluate import evaluate_loaded as evaluate_loaded
    from ganverse.evaluation.evaluate import evaluate_models as evaluate_models
    from ganverse.evaluation.metrics import Score as Score
    from ganverse.evaluation.metrics import mask_iou as mask_iou
    from ganverse.evaluation.metrics import masked_l1 as masked_l1
    from ganverse.evaluation.metrics import masked_psnr as masked_psnr
    from ganverse.evaluation.models import ModelPaths as ModelPaths
    from ganverse.evaluation.models import Models as Models
    from ganverse.evaluation.models import load_models as load_models
    from ganverse.evaluation.models import models_of_run as models_of_run
    from ganverse.evaluation.settings import EvaluationSettings as EvaluationSettings
    from ganverse.evaluation.surfaces import SurfaceDistances as SurfaceDistances
    from ganverse.evaluation.surfaces import sample_surface as sample_surface

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "CATALOG": "ganverse.evaluation.catalog",
        "Alignment": "ganverse.evaluation.alignment",
        "EvaluationSettings": "ganverse.evaluation.settings",
        "ModelPaths": "ganverse.evaluation.models",
        "Models": "ganverse.evaluation.models",
        "Score": "ganverse.evaluation.metrics",
        "SurfaceDistances": "ganverse.evaluation.surfaces",
        "evaluate_loaded": "ganverse.evaluation.evaluate",
        "evaluate_models": "ganverse.evaluation.evaluate",
        "load_models": "ganverse.evaluation.models",
        "mask_iou": "ganverse.evaluation.metrics",
        "masked_l1": "ganverse.evaluation.metrics",
        "masked_psnr": "ganverse.evaluation.metrics",
        "models_of_run": "ganverse.evaluation.models",
        "sample_surface": "ganverse.evaluation.surfaces",
    },
)
