import torch

from ganverse.masks.masker import Masker, SegmenterMasker, separate_instances
from ganverse.masks.segmenter import Segmenter


def test_specks_are_ignored_and_the_largest_object_stays_alone() -> None:
    probability = torch.zeros(1, 1, 32, 32)
    probability[0, 0, 4:14, 4:24] = 0.9
    probability[0, 0, 14, 4:24] = 0.3  # its soft rim
    probability[0, 0, 28:30, 28:30] = 0.8  # a speck
    masks = separate_instances(probability)
    assert masks.instances.tolist() == [1]
    assert torch.equal(masks.foreground[0, 0, 4:15, 4:24], probability[0, 0, 4:15, 4:24])
    assert masks.foreground[0, 0, 20:].sum() == 0
    probability[0, 0, 22:30, 22:30] = 0.8
    assert separate_instances(probability).instances.tolist() == [2]


def test_an_empty_picture_has_no_object() -> None:
    masks = separate_instances(torch.full((2, 1, 16, 16), 0.4))
    assert masks.instances.tolist() == [0, 0]
    assert masks.foreground.sum() == 0


def test_segmenter_masker_is_a_masker() -> None:
    masker = SegmenterMasker(Segmenter().eval())
    assert isinstance(masker, Masker)
    masks = masker(torch.rand(2, 3, 64, 64))
    assert masks.foreground.shape == (2, 1, 64, 64)
    assert not masks.foreground.requires_grad
