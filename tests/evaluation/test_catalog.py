from ganverse.evaluation.catalog import CATALOG, PARTS
from ganverse.evaluation.edits import WAYS

PICTURES = {"iou_input", "iou_unseen", "l1_masked", "psnr_input", "psnr_unseen", "lpips_input", "lpips_unseen"}
IDENTITY = {"azimuth_spread_deg", "azimuth_flips", "identity_height", "identity_type", "identity_color"}
TRUTH = {"iou_2d", "iou_3d", "chamfer", "f_score", "normal_consistency", "chroma_error", "azimuth_error_deg"}
PHOTOS = {"iou", "l1_masked"}
CONTROLS = {
    *("azimuth_error_deg", "elevation_rank", "scale_rank", "identity_color", "identity_height", "quality_ratio"),
    *("swap_shape_iou", "swap_shape_ratio", "swap_texture_ratio", "swap_background_ratio"),
    *("swap_texture_gan", "swap_paint_ratio", "swap_paint_gan"),
}
EDITS = {f"{name}_{way}" for name in ("l1", "lpips", "turn_error_deg", "turn_color") for way in WAYS}


def test_published_keys_are_those_that_were_agreed() -> None:
    expected = {f"gan/{name}" for name in PICTURES | IDENTITY}
    expected |= {f"world/{name}" for name in TRUTH}
    expected |= {f"oracle/{name}" for name in PICTURES | IDENTITY | TRUTH}
    expected |= {f"stylegan_r/{name}" for name in CONTROLS}
    expected |= {f"{part}/{name}" for part in ("pascal3d", "photos") for name in PHOTOS}
    expected |= {f"edits/{name}" for name in EDITS}
    assert {key for key, entry in CATALOG.items() if entry.published} == expected


def test_every_entry_belongs_to_a_part_and_says_what_it_is() -> None:
    assert {entry.part for entry in CATALOG.values()} == set(PARTS)
    assert all(key == entry.key and entry.meaning for key, entry in CATALOG.items())


def test_targets_know_their_direction() -> None:
    higher, lower = CATALOG["oracle/iou_3d"], CATALOG["world/azimuth_error_deg"]
    assert higher.reached(0.9) is True
    assert higher.reached(0.8) is False
    assert lower.reached(1.5) is True
    assert lower.reached(6.0) is False
    assert CATALOG["world/chamfer"].reached(1.0) is None
