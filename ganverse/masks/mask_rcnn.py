"""The paper's masks: torchvision's Mask R-CNN, trained on COCO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.error import URLError

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights, maskrcnn_resnet50_fpn_v2
from torchvision.ops import nms

from ganverse.errors import GanverseError
from ganverse.masks.masker import Masks

COCO_CATEGORIES = {"car": ("car", "truck", "bus"), "horse": ("horse",), "bird": ("bird",)}
"""COCO classes of the paper's categories (COCO calls vans and pickups trucks)."""


class MaskRCNN(nn.Module):
    """A `Masker`: the object is the best-scoring instance of the category; all confident instances are counted.

    detector: a torchvision detection model. labels: accepted class numbers. min_score: minimum confidence of an
    instance.
    """

    def __init__(
        self, detector: nn.Module, labels: Sequence[int], *, min_score: float = 0.7, name: str = "mask-rcnn"
    ) -> None:
        super().__init__()
        self.detector = detector.eval().requires_grad_(False)
        self.labels = tuple(labels)
        self.min_score = min_score
        self.name = name

    @classmethod
    def from_pretrained(cls, category: str = "car", *, min_score: float = 0.7) -> MaskRCNN:
        """The network pretrained on COCO for "car", "horse" or "bird"; torchvision downloads it once (180 MB).

        Raises:
            GanverseError: unknown category, or the download failed.
        """
        if category not in COCO_CATEGORIES:
            raise GanverseError(f"expected a category among {sorted(COCO_CATEGORIES)}, got {category!r}")
        weights = MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1
        names = weights.meta["categories"]
        detector = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=len(names))
        detector.load_state_dict(_download(weights))
        labels = [names.index(name) for name in COCO_CATEGORIES[category]]
        return cls(detector, labels, min_score=min_score, name=f"mask-rcnn {weights} {category} {min_score}")

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Masks:
        """Masks of images in [0, 1]."""
        found = [self._main_object(detections, images) for detections in self.detector(list(images))]
        masks, counts = zip(*found, strict=True)
        return Masks(torch.stack(masks), torch.tensor(counts, device=images.device))

    def _main_object(self, detections: Mapping[str, Tensor], images: Tensor) -> tuple[Tensor, int]:
        wanted = torch.isin(detections["labels"], torch.tensor(self.labels, device=images.device))
        confident = (wanted & (detections["scores"] >= self.min_score)).nonzero()[:, 0]
        # The network suppresses duplicates only within a class; a van detected as car and as truck is one object.
        distinct = confident[nms(detections["boxes"][confident], detections["scores"][confident], 0.5)]
        if len(distinct) == 0:
            return images.new_zeros(1, *images.shape[2:]), 0
        return detections["masks"][distinct[0]], len(distinct)


def _download(weights: MaskRCNN_ResNet50_FPN_V2_Weights) -> Mapping[str, Tensor]:
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise GanverseError(
            f"expected to download Mask R-CNN's weights from {weights.url}, but that failed ({error}); put the file "
            "into torch's hub cache (checkpoints/) by hand, or use the shipped segmenter"
        ) from error
