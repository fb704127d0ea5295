import torch

from ganverse.evaluation.picture_table import Column, resized, table


def test_cells_lie_where_rows_and_columns_say() -> None:
    red, blue = torch.zeros(2, 2, 3, 4, 4).unbind()
    red[:, 0], blue[:, 2] = 1, 1
    red[1] *= 0.5
    sheet = table([Column("first", red), Column("second", blue)], rows=["1", "2"], cell=20)
    left, top = sheet.width - 2 * 22, sheet.height - 2 * 22
    assert left > 8
    assert top > 13
    assert sheet.getpixel((left + 10, top + 10)) == (255, 0, 0)
    assert sheet.getpixel((left + 10, top + 32)) == (128, 0, 0)
    assert sheet.getpixel((left + 32, top + 10)) == (0, 0, 255)
    labels = sheet.crop((0, 0, left + 44, top)).convert("L").getextrema()
    assert labels[0] < 100


def test_no_labels_take_no_room() -> None:
    assert table([Column("", torch.zeros(1, 3, 8, 8))], cell=8).size == (10, 10)


def test_whole_multiples_keep_their_pixels() -> None:
    picture = torch.zeros(3, 2, 2)
    picture[:, 0, 0] = 1
    enlarged = resized(picture, 8)
    assert enlarged.getpixel((3, 3)) == (255, 255, 255)
    assert enlarged.getpixel((4, 3)) == (0, 0, 0)


def test_headings_break_at_spaces() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    one, two, whole = (
        table([Column(text, picture)], cell=63).height for text in ("a long", "a long heading", "indivisible")
    )
    assert one == whole
    assert two == one + 15


def test_proportions_are_kept() -> None:
    wide, square = torch.zeros(2, 3, 6, 8), torch.ones(2, 3, 5, 5)
    assert table([Column("", wide)], cell=16).size == (18, 2 * 14)
    assert table([Column("", wide), Column("", square)], cell=16).size == (36, 2 * 18)
