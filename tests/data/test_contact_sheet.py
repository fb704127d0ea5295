from pathlib import Path

import torch
from PIL import Image

from ganverse.data.contact_sheet import contact_sheet, stack_pictures
from ganverse.io import save_image


def test_sheet_shows_images_above_and_their_foreground_below(tmp_path: Path) -> None:
    images = torch.ones(3, 3, 4, 5)
    masks = torch.zeros(3, 1, 4, 5)
    masks[0] = 1
    sheet = contact_sheet(images, masks, columns=2)
    assert sheet.shape == (3, 2 * 2 * 4, 2 * 5)
    assert sheet[0, 0, 0] == 255
    assert sheet[0, 4, 0] == 255
    assert sheet[0, 4, 5] == 51
    assert sheet[0, 8, 0] == 255
    assert sheet[0, 8:, 5:].max() == 0
    for name in ("a.png", "b.png"):
        save_image(sheet, tmp_path / name)
    stack_pictures([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "both.png")
    with Image.open(tmp_path / "both.png") as both:
        assert both.size == (10, 32)
