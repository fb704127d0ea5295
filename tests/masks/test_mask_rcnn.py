from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights, maskrcnn_resnet50_fpn_v2

from ganverse.errors import GanverseError
from ganverse.masks.filtering import filter_masks
from ganverse.masks.mask_rcnn import MaskRCNN
from ganverse.masks.masker import Masker

CAR, PERSON, TRUCK = 3, 1, 8


class Detections(nn.Module):
    """Stands for a detector: gives each image's detections as they are listed."""

    def __init__(self, *per_image: list[tuple[int, float, tuple[int, int, int, int]]]) -> None:
        super().__init__()
        self.per_image = per_image

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        return [self._one(found) for found in self.per_image[: len(images)]]

    def _one(self, found: list[tuple[int, float, tuple[int, int, int, int]]]) -> dict[str, Tensor]:
        masks = torch.zeros(len(found), 1, 32, 32)
        for row, (_, _, (left, top, right, bottom)) in enumerate(found):
            masks[row, 0, top:bottom, left:right] = 1
        return {
            "labels": torch.tensor([label for label, _, _ in found], dtype=torch.long),
            "scores": torch.tensor([score for _, score, _ in found]),
            "boxes": torch.tensor([box for _, _, box in found], dtype=torch.float32).view(-1, 4),
            "masks": masks,
        }


def test_the_best_instance_of_the_category_wins_and_all_are_counted() -> None:
    big, other, same = (2, 2, 20, 20), (22, 22, 31, 31), (3, 2, 20, 20)
    detector = Detections(
        [(CAR, 0.9, big), (PERSON, 0.99, other)],
        [(CAR, 0.8, other), (CAR, 0.95, big)],
        [(CAR, 0.5, big)],
        [(CAR, 0.9, big), (TRUCK, 0.8, same)],
        [],
    )
    masker = MaskRCNN(detector, (CAR, TRUCK))
    masks = masker(torch.rand(5, 3, 32, 32))
    assert masks.instances.tolist() == [1, 2, 0, 1, 0]
    assert masks.foreground[1, 0, 10, 10] == 1
    assert masks.foreground[1, 0, 25, 25] == 0
    assert filter_masks(masks).keep.tolist() == [True, False, False, True, False]


def test_the_real_architecture_speaks_the_same_interface() -> None:
    detector = maskrcnn_resnet50_fpn_v2(
        weights=None, weights_backbone=None, num_classes=91, min_size=64, box_detections_per_img=3
    )
    masker = MaskRCNN(detector, (CAR,))
    assert isinstance(masker, Masker)
    masks = masker(torch.rand(1, 3, 64, 64))
    assert masks.foreground.shape == (1, 1, 64, 64)
    assert not any(p.requires_grad for p in masker.parameters())


def test_no_network_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **keywords: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(GanverseError, match=r"no route.*hub cache.*segmenter"):
        MaskRCNN.from_pretrained("horse")


def test_an_unknown_category_is_explained() -> None:
    with pytest.raises(GanverseError, match="bird"):
        MaskRCNN.from_pretrained("plane")
    assert MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1.meta["categories"][CAR] == "car"
