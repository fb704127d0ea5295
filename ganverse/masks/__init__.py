"""Foreground masks: Mask R-CNN, rembg, learned segmenters, and the paper's filter of images by their masks."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.masks.filtering import MaskFilter as MaskFilter
    from ganverse.masks.filtering import filter_masks as filter_masks
    from ganverse.masks.learning import learn_segmenter as learn_segmenter
    from ganverse.masks.mask_rcnn import MaskRCNN as MaskRCNN
    from ganverse.masks.masker import Masker as Masker
    from ganverse.masks.masker import Masks as Masks
    from ganverse.masks.masker import separate_instances as separate_instances
    from ganverse.masks.rembg import Rembg as Rembg
    from ganverse.masks.segmenter import Segmenter as Segmenter
    from ganverse.masks.segmenter import train_segmenter as train_segmenter

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "MaskFilter": "ganverse.masks.filtering",
        "MaskRCNN": "ganverse.masks.mask_rcnn",
        "Masker": "ganverse.masks.masker",
        "Masks": "ganverse.masks.masker",
        "Rembg": "ganverse.masks.rembg",
        "Segmenter": "ganverse.masks.segmenter",
        "filter_masks": "ganverse.masks.filtering",
        "learn_segmenter": "ganverse.masks.learning",
        "separate_instances": "ganverse.masks.masker",
        "train_segmenter": "ganverse.masks.segmenter",
    },
)
