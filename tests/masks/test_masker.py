import torch

from ganverse.masks.masker import (
    component_areas,
    label_components,
    separate_instances,
    soft_iou,
)


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


def test_soft_iou_of_known_masks() -> None:
    a, b = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    a[:, 0, :2], b[:, 0, 1:3] = 1, 1
    b[1] = 0.5 * a[1]
    assert torch.allclose(soft_iou(a, b), torch.tensor([1 / 3, 0.5]))


def _picture(*rows: str) -> torch.Tensor:
    return torch.tensor([[character == "#" for character in row] for row in rows])[None]


def test_diagonal_neighbors_belong_together_and_gaps_separate() -> None:
    mask = _picture(
        "##..#",
        "..#.#",
        ".....",
        "#...#",
    )
    labels = label_components(mask)[0]
    assert labels[0, 0] == labels[1, 2] > 0
    assert labels[0, 4] == labels[1, 4] > 0
    assert len(labels[mask[0]].unique()) == 4
    assert (labels[~mask[0]] == 0).all()


def test_a_long_spiral_is_one_component() -> None:
    mask = _picture(
        "#########",
        "........#",
        "#######.#",
        "#.....#.#",
        "#.###.#.#",
        "#.#...#.#",
        "#.#####.#",
        "#.......#",
        "#########",
    )
    areas = component_areas(label_components(mask))
    assert (areas > 0).sum() == 1
    assert areas.max() == mask.sum()


def test_images_of_a_batch_do_not_mix() -> None:
    random = torch.rand(5, 17, 23) > 0.6
    together = label_components(random)
    for one, labels in zip(random, together, strict=True):
        assert torch.equal(label_components(one[None])[0], labels)


def test_labels_agree_with_a_flood_fill() -> None:
    mask = torch.rand(1, 24, 24) > 0.55
    labels = label_components(mask)[0]
    components = 0
    left = {tuple(p) for p in mask[0].nonzero().tolist()}
    while left:
        components += 1
        reached = {min(left)}
        border = set(reached)
        while border:
            near = {(r + i, c + j) for r, c in border for i in (-1, 0, 1) for j in (-1, 0, 1)}
            border = (near & left) - reached
            reached |= border
        assert len({int(labels[p]) for p in reached}) == 1
        left -= reached
    assert components == len(labels[labels > 0].unique())
