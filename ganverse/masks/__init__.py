"""Foreground masks: Mask R-CNN, rembg, learned segmenters, and the paper's filter of images by their masks."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.masks.filtering import MaskFilter, filter_masks
    from ganverse.masks.learning import learn_segmenter
    from ganverse.masks.mask_rcnn import MaskRCNN
    from ganverse.masks.masker import Masker, Masks, separate_instances
    from ganverse.masks.rembg import Rembg
    from ganverse.masks.segmenter import Segmenter, train_segmenter

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
