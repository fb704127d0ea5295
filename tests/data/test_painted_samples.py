"""A folder of masks as those of the data: what is painted is what training sees, and every mistake is one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganverse.data.multi_view import VALIDATION_START
from ganverse.data.painted_samples import RECORD, PaintedSampler, WholePicture, open_painted_samples, write_samples
from ganverse.data.sampling import MultiViewSampler, Sampler, SamplingSettings
from ganverse.errors import GanverseError
from ganverse.masks.masker import Masker
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes

SAMPLES, SIDE, ZOOM = 6, 16, 16
BLACK = (2, 5)  # samples left out: one view of each is painted all black


@pytest.fixture
def pictures(generator, codes: ViewCodes) -> MultiViewSampler:
    return MultiViewSampler(generator, codes, WholePicture(), SamplingSettings(seed=5, block=4, attempts=1))


@pytest.fixture
def folder(pictures: MultiViewSampler, tmp_path: Path) -> Path:
    """Pictures and masks: rectangles whose width tells sample and view."""
    write_samples(pictures, tmp_path / "painted", SAMPLES)
    for sample in range(SAMPLES):
        for view in range(2):
            paint(tmp_path / "painted", sample, view, width(sample, view))
    return tmp_path / "painted"


def width(sample: int, view: int) -> int:
    return 0 if sample in BLACK and view else 4 + 2 * sample + view


def paint(folder: Path, sample: int, view: int, columns: int, size: int = SIDE * ZOOM) -> None:
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size // 4 * 3, : columns * ZOOM] = 255
    Image.fromarray(mask).save(folder / f"{sample:06d}-{view}-mask.png")


def painted_sampler(pictures: MultiViewSampler, folder: Path) -> PaintedSampler:
    return PaintedSampler(pictures, open_painted_samples(folder, pictures))


def test_masks_are_those_of_the_folder_and_pictures_those_of_the_generator(
    pictures: MultiViewSampler, folder: Path
) -> None:
    sampler = painted_sampler(pictures, folder)
    assert isinstance(sampler, Sampler)
    assert isinstance(WholePicture(), Masker)
    assert sampler.painted.kept == (0, 1, 3, 4)
    batch = sampler.draw(torch.tensor([2, 0, 5])).batch  # 5 goes round: the second sample again
    shown = [3, 0, 1]
    assert batch.sample_index.tolist() == [2, 0, 5]
    assert torch.equal(batch.images, pictures.draw(torch.tensor(shown)).batch.images)
    columns = (batch.masks[:, :, 0, SIDE // 2] > 0.5).sum(dim=2)
    assert columns.tolist() == [[width(sample, view) for view in range(2)] for sample in shown]
    with Image.open(folder / "000003-1.png") as file:
        small = np.array(file.resize((SIDE, SIDE), Image.Resampling.BOX)) / 255
    away = np.abs(small - batch.images[0, 1].permute(1, 2, 0).numpy()).mean()
    assert away < 0.05, "a picture of noise, enlarged and reduced again"


def test_what_was_left_out_is_counted_once(pictures: MultiViewSampler, folder: Path) -> None:
    drawn = painted_sampler(pictures, folder).draw(torch.arange(4), keep_dropped=9)
    assert drawn.counts.images == 2 * SAMPLES
    assert drawn.counts.no_object == len(BLACK)
    assert len(drawn.dropped_images) == len(drawn.dropped_masks) == len(BLACK)
    assert drawn.dropped_masks.sum() == 0
    assert not drawn.forced.any()


def test_validation_comes_from_the_end(pictures: MultiViewSampler, folder: Path) -> None:
    sampler = painted_sampler(pictures, folder)
    last = sampler.draw(torch.tensor([VALIDATION_START, VALIDATION_START + 1])).batch
    assert torch.equal(last.images, sampler.draw(torch.tensor([3, 2])).batch.images)


def test_other_masks_are_other_data_and_other_azimuths_are_not(
    pictures: MultiViewSampler, folder: Path, generator
) -> None:
    before = painted_sampler(pictures, folder).fingerprint
    turned = replace(pictures.codes, codes=tuple(ViewCode(code.seed, 7.0) for code in pictures.codes.codes))
    again = MultiViewSampler(generator, turned, WholePicture(), pictures.settings)
    assert open_painted_samples(folder, again).kept == (0, 1, 3, 4), "azimuths may be corrected after painting"
    paint(folder, 0, 0, 9)
    assert painted_sampler(pictures, folder).fingerprint != before


def test_what_is_wrong_with_a_folder(pictures: MultiViewSampler, folder: Path, generator) -> None:
    def refused(match: str) -> None:
        with pytest.raises(GanverseError, match=match):
            open_painted_samples(folder, pictures)

    mask = folder / "000001-0-mask.png"
    good = mask.read_bytes()
    mask.unlink()
    refused("000001-0-mask.png is missing; paint it")
    (folder / "000004-1-mask.png").rename(folder / "moved.png")
    refused("000001-0-mask.png is missing with 1 more")
    (folder / "moved.png").rename(folder / "000004-1-mask.png")
    paint(folder, 1, 0, 6, size=100)
    refused("size of its picture, 256 x 256, got 100 x 100")
    mask.write_bytes((folder / "000001-0.png").read_bytes())
    refused("000001-0-mask.png to be a mask, white .255. on the object")
    Image.fromarray((np.arange(256)[None] > 99).repeat(256, 0).astype(np.uint8)).save(mask)
    refused("got gray levels from 0 to 1")
    mask.write_text("no picture")
    refused("save it as PNG")
    mask.write_bytes(good)
    assert open_painted_samples(folder, pictures).kept
    for settings in (replace(pictures.settings, seed=6), replace(pictures.settings, views=3)):
        with pytest.raises(GanverseError, match="seed and views, got others"):
            open_painted_samples(folder, MultiViewSampler(generator, pictures.codes, WholePicture(), settings))
    for path in folder.glob("*-mask.png"):
        Image.new("L", (256, 256)).save(path)
    refused("got none .FilterCounts.kept=0, no_object=12")
    (folder / RECORD).write_text(json.dumps({"samples": SAMPLES}))
    refused("train.py generate --data.mask_folder")
    (folder / RECORD).unlink()
    refused("train.py generate --data.mask_folder")
    with pytest.raises(GanverseError, match="at least one sample"):
        write_samples(pictures, folder, 0)
