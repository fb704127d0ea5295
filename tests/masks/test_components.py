import torch

from ganverse.masks.components import component_areas, label_components


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
