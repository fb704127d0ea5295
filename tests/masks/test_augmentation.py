import torch

from ganverse.masks.augmentation import augment


def test_augmented_pairs_stay_aligned_and_in_range() -> None:
    masks = torch.zeros(16, 1, 32, 32)
    masks[:, :, 10:22, 8:24] = 1
    images = (0.15 + 0.7 * masks).expand(-1, 3, -1, -1)
    pictures, truth = augment(images, masks, torch.Generator().manual_seed(0))
    assert 0 <= pictures.min() <= pictures.max() <= 1
    assert 0 <= truth.min() <= truth.max() <= 1
    inside = (pictures * truth).sum() / (3 * truth.sum())
    assert inside > 0.6
    assert (truth - masks).abs().amax(dim=(1, 2, 3)).min() > 0.3


def test_the_random_generator_alone_decides() -> None:
    images, masks = torch.rand(4, 3, 32, 32), torch.ones(4, 1, 32, 32)
    first, again, other = (augment(images, masks, torch.Generator().manual_seed(s))[0] for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
