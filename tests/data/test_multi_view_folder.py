"""Pictures of anybody: masks as alpha or beside them, any sizes, and what is refused with one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganverse.data.multi_view import VALIDATION_START
from ganverse.data.multi_view_folder import FolderWriter, MultiViewFolder
from ganverse.errors import GanverseError
from tests.tasks import toys

VIEWS = "front: 0\nleft: 90.5\nback: 180\n"


def picture(seed: int, width: int = 32, height: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Smooth colors and an ellipse."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.array(small.resize((width, height))), (255 * ((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1)).astype(np.uint8)


def write(folder: Path, seed: int, *, alpha: bool, name: str = "front", suffix: str = ".png", **size: int) -> None:
    """A picture with its mask: as alpha, or beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    colors, mask = picture(seed, **size)
    if alpha:
        Image.fromarray(np.dstack([colors, mask])).save(folder / f"{name}.png")
    else:
        Image.fromarray(colors).save(folder / f"{name}{suffix}")
        Image.fromarray(mask).save(folder / f"{name}-mask.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five objects: the masks of even ones are alpha, those of odd ones files; the last one lacks a view."""
    (tmp_path / "views.yaml").write_text(VIEWS)
    for number in range(5):
        for seed, name in enumerate(("front", "left", "back")):
            if (number, name) != (4, "left"):
                write(tmp_path / f"object-{number}", 10 * number + seed, alpha=number % 2 == 0, name=name)
    return tmp_path


def test_previews_are_held_out_objects_as_many_as_there_are(folder: Path) -> None:
    data = MultiViewFolder(folder, 32, validation_objects=2)
    for asked, given in ((1, 1), (2, 2), (9, 2)):
        assert torch.equal(data.preview(asked).sample_index, torch.arange(given) + VALIDATION_START)
    assert len(MultiViewFolder(folder, 32, validation_objects=0).preview(9).images) == 5


def test_masks_beside_pictures_and_in_their_alpha_are_the_same(tmp_path: Path) -> None:
    for alpha in (True, False):
        (tmp_path / str(alpha)).mkdir()
        (tmp_path / str(alpha) / "views.yaml").write_text(VIEWS)
        for number in range(2):
            for name in ("front", "left"):
                write(tmp_path / str(alpha) / f"{number}", number, alpha=alpha, name=name)
    one, two = (MultiViewFolder(tmp_path / str(alpha), 32, validation_objects=1) for alpha in (True, False))
    for index in (0, VALIDATION_START):
        first, second = (data.make(torch.tensor([index])) for data in (one, two))
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.masks, second.masks)
        assert 0.2 < first.masks.mean() < 0.6
    colors, mask = picture(0)
    found = one.make(torch.tensor([0]))
    assert torch.equal((found.images[0, 0] * 255).byte(), torch.from_numpy(colors).permute(2, 0, 1))
    assert torch.equal((found.masks[0, 0, 0] * 255).byte(), torch.from_numpy(mask))


def test_a_sample_is_an_object_in_views_drawn_by_its_index(folder: Path) -> None:
    data = MultiViewFolder(folder, 32, batch_size=2, validation_objects=1)
    assert data.azimuth_degrees == (0.0, 90.5, 180.0)
    batch = data.make(torch.arange(40))
    assert batch.images.shape == (40, 2, 3, 32, 32)
    assert batch.styles.shape == (40, 2, 0)
    assert (batch.view_ids[:, 0] != batch.view_ids[:, 1]).all()
    assert set(batch.view_ids.flatten().tolist()) == {0, 1, 2}
    alone = data.make(torch.tensor([7]))
    assert torch.equal(alone.images[0], batch.images[7])
    other = MultiViewFolder(folder, 32, validation_objects=1, seed=5).make(torch.arange(40))
    assert not torch.equal(other.view_ids, batch.view_ids)
    held_out = data.make(torch.tensor([VALIDATION_START]))
    assert held_out.view_ids.tolist() == [[0, 2]], "the last object, in the views that it has"
    three = MultiViewFolder(folder / ".." / folder.name, 32, views=2).make(torch.arange(4))
    assert len(three) == 4


def test_pictures_of_any_size_are_padded_and_scaled(tmp_path: Path) -> None:
    (tmp_path / "views.yaml").write_text(VIEWS)
    write(tmp_path / "a", 1, alpha=True, name="front", width=64, height=32)
    write(tmp_path / "a", 2, alpha=False, name="left", width=20, height=80, suffix=".jpg")
    write(tmp_path / "b", 3, alpha=True, name="front")
    write(tmp_path / "b", 4, alpha=True, name="back", width=100, height=100)
    data = MultiViewFolder(tmp_path, 16, validation_objects=1)
    wide, tall = (data._read(data.objects[0][view]) for view in (0, 1))
    for image, mask in (wide, tall):
        assert image.shape == (3, 16, 16)
        assert mask.shape == (1, 16, 16)
        assert 0 <= image.min() <= image.max() <= 1
    assert wide[0][:, :4].max() == wide[0][:, 12:].max() == 0, "padded above and below"
    assert wide[0][:, 4:12].amin() >= 0
    assert wide[1][0, 4:12].mean() > 0.2
    assert tall[0][:, :, :6].max() == tall[0][:, :, 10:].max() == 0
    columns = wide[1][0].amax(dim=0) > 0.5
    assert columns.float().mean() == pytest.approx(0.8, abs=0.1), "the ellipse is as wide as it was"


def test_training_and_validation_never_meet(folder: Path, tmp_path: Path) -> None:
    data = MultiViewFolder(folder, 32, batch_size=2, validation_objects=2)
    trained = data.make(torch.arange(3))
    held_out = torch.cat([batch.images for batch in data.val_dataloader()])
    assert len(held_out) == 2
    assert not any(torch.equal(a, b) for a in trained.images.flatten(0, 1) for b in held_out.flatten(0, 1))
    assert MultiViewFolder(folder, 32, batch_size=2).validation_objects == 0, "an eighth of five"


def test_an_inverse_network_is_trained_on_it(folder: Path, tmp_path: Path) -> None:
    module = toys.inverse()
    data = MultiViewFolder(folder, 32, batch_size=2, validation_objects=1)
    trainer = toys.trainer(tmp_path, max_steps=2, val_check_interval=1, check_val_every_n_epoch=None)
    trainer.fit(module, datamodule=data)
    assert (module.images_seen, data.samples_seen) == (8, 4)
    assert len(module.cameras) == 3
    assert trainer.callback_metrics["val/iou/own_view"] > 0


def test_a_changed_picture_is_another_data_set(folder: Path) -> None:
    before = MultiViewFolder(folder, 32).fingerprints
    assert MultiViewFolder(folder, 32).fingerprints == before
    assert MultiViewFolder(folder, 16).fingerprints != before
    write(folder / "object-1", 99, alpha=False, name="left")
    assert MultiViewFolder(folder, 32).fingerprints != before


def test_hidden_and_foreign_files_are_left_alone(folder: Path) -> None:
    expected = MultiViewFolder(folder, 32).make(torch.arange(3)).images
    (folder / ".cache").mkdir()
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("x")
    (folder / "object-0" / "._front.png").write_bytes(b"macOS")
    (folder / "object-0" / "notes.txt").write_text("x")
    assert torch.equal(MultiViewFolder(folder, 32).make(torch.arange(3)).images, expected)


def _remove_mask(folder: Path) -> None:
    (folder / "object-1" / "left-mask.png").unlink()


def _opaque(folder: Path) -> None:
    colors, _ = picture(0)
    Image.fromarray(np.dstack([colors, np.full(colors.shape[:2], 255, np.uint8)])).save(folder / "object-0/left.png")


def _unknown_view(folder: Path) -> None:
    write(folder / "object-1", 1, alpha=True, name="above")


def _too_few_views(folder: Path) -> None:
    for path in (folder / "object-0").glob("*.png"):
        if path.stem != "front":
            path.unlink()


def _mask_of_another_size(folder: Path) -> None:
    Image.fromarray(picture(0, 16, 16)[1]).save(folder / "object-1" / "left-mask.png")


def _two_pictures_of_a_view(folder: Path) -> None:
    write(folder / "object-1", 1, alpha=False, name="left", suffix=".jpg")


def _no_picture(folder: Path) -> None:
    (folder / "object-0" / "left.png").write_text("just words")


def _no_objects(folder: Path) -> None:
    for path in folder.glob("object-*"):
        path.rename(folder / f".{path.name}")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_remove_mask, r"expected a mask for .*left\.png: .*left-mask\.png beside it"),
        (_opaque, "expected a mask for"),
        (_unknown_view, r"got above\.png; add its azimuth"),
        (_too_few_views, r"expected at least 2 views in .*object-0, got 1"),
        (_mask_of_another_size, r"left-mask\.png to have the size of left\.png"),
        (_two_pictures_of_a_view, r"one image of each view in .*object-1, got left twice"),
        (_no_picture, r"expected an image in .*left\.png"),
        (_no_objects, "expected a folder per object"),
    ],
)
def test_what_is_wrong_is_named_before_any_training(
    spoil: object, complaint: str, folder: Path, tmp_path: Path
) -> None:
    spoil(folder)
    with pytest.raises(GanverseError, match=complaint):
        MultiViewFolder(folder, 32).setup("fit")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected lines `VIEW: azimuth"),
        ("front: ahead\n", "expected lines `VIEW: azimuth"),
        ("- front\n", "expected lines `VIEW: azimuth"),
        ("front: 0\nleft: .nan\nback: 0\n", "expected lines `VIEW: azimuth"),
        ("front: 0\nleft: true\nback: 0\n", "expected lines `VIEW: azimuth"),
        ("front: [\n", "expected YAML"),
    ],
)
def test_azimuths_that_are_none(text: str, complaint: str, folder: Path) -> None:
    (folder / "views.yaml").write_text(text)
    with pytest.raises(GanverseError, match=complaint):
        MultiViewFolder(folder, 32)


def test_a_missing_folder_and_settings_out_of_range(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match=r"views\.yaml"):
        MultiViewFolder(tmp_path / "absent")
    with pytest.raises(GanverseError, match="expected views to be from 1 to 100000"):
        MultiViewFolder(folder, views=0)
    with pytest.raises(GanverseError, match="more than 5 objects"):
        MultiViewFolder(folder, validation_objects=5)
    with pytest.raises(GanverseError, match="expected batch_size to be from 1 to 100000"):
        MultiViewFolder(folder, batch_size=0)


def test_the_writer_s_folder_is_read_to_the_bit(files: toys.Files, tmp_path: Path) -> None:
    batch = toys.stream(files).make(torch.arange(3))
    writer = FolderWriter(tmp_path / "out", toys.AZIMUTHS)
    writer.write(batch)
    assert writer.has(0, 2)
    assert not writer.has(3, 2)
    data = MultiViewFolder(tmp_path / "out", toys.SIZE, validation_objects=0)
    found = data.make(torch.arange(3))
    for row in range(3):
        order = [batch.view_ids[row].tolist().index(view) for view in found.view_ids[row].tolist()]
        assert torch.equal(found.images[row], batch.images[row, order])
        assert torch.equal(found.masks[row], batch.masks[row, order])
