from ganverse.generators.protocol import style_slices


def test_slices_follow_one_another() -> None:
    row = list(range(7))
    assert [row[piece] for piece in style_slices([3, 0, 2, 2])] == [[0, 1, 2], [], [3, 4], [5, 6]]
    assert style_slices([]) == []
