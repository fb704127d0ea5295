"""Masks by rembg; a session of the same interface stands in, which computes real masks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ganverse.data.sources import SourceSettings, open_source
from ganverse.errors import GanverseError
from ganverse.masks.masker import Masker, soft_iou
from ganverse.masks.rembg import Rembg
from ganverse.reconstruction.command import reconstruct_command
from ganverse.reconstruction.photos import Photo, find_object
from tests.reconstruction.toys import car, save_photo, save_weights


class AwayFromTheBorder:
    """What differs in color from the median of the picture's border."""

    def predict(self, img: Image.Image, *args: object, **kwargs: object) -> list[Image.Image]:
        pixels = np.asarray(img.convert("RGB"), dtype=np.float32)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        away = np.abs(pixels - np.median(border, axis=0)).max(axis=2)
        return [Image.fromarray((4 * away).clip(0, 255).astype(np.uint8))]


def test_objects_are_cut_out_one_by_one() -> None:
    images = torch.full((2, 3, 40, 60), 0.5)
    images[0, 0, 10:30, 5:25], images[1, :, 20:36, 30:50] = 0.9, 0.1
    masker = Rembg(AwayFromTheBorder())
    assert isinstance(masker, Masker)
    masks = masker(images)
    expected = (images != 0.5).any(dim=1, keepdim=True).float()
    assert soft_iou(masks.foreground, expected).min() > 0.95
    assert masks.instances.tolist() == [1, 1]
    found = find_object(Photo("a square", images[:1]), masker)
    assert (found.box.left, found.box.top, found.box.side) == (3, 8, 23)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """rembg with one model, u2net; the names that were asked for."""
    asked: list[str] = []

    def new_session(model_name: str) -> AwayFromTheBorder:
        asked.append(model_name)
        if model_name != "u2net":
            raise ValueError(f"No session class found for model '{model_name}'")
        return AwayFromTheBorder()

    monkeypatch.setitem(sys.modules, "rembg", SimpleNamespace(new_session=new_session))
    return asked


def test_wherever_masks_are_chosen(installed: list[str], tmp_path: Path) -> None:
    masker = open_source(SourceSettings("car", masks="rembg")).masker
    assert masker is not None
    assert masker.name == "rembg u2net"
    photo, weights = save_photo(tmp_path / "a.png"), save_weights(tmp_path / "net.safetensors")
    arguments = [photo, "-o", tmp_path / "a.glb", "--weights", weights, "--rembg", "--no-views"]
    assert reconstruct_command([str(argument) for argument in arguments]) == 0
    assert (tmp_path / "a.glb").is_file()
    assert installed == ["u2net", "u2net"]
    found = find_object(Photo("a car", car()[0]), Rembg(AwayFromTheBorder()))
    assert soft_iou((found.foreground > 0.5).float(), (car()[1] > 0.5).float()) > 0.5


def test_what_is_missing_is_explained(installed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GanverseError, match=r"its model u3net, but that failed \(No session class"):
        Rembg.from_pretrained("u3net")
    monkeypatch.setitem(sys.modules, "rembg", None)
    with pytest.raises(GanverseError, match=r"pip install 'ganverse\[rembg\]'"):
        Rembg.from_pretrained()
