from ganverse.evaluation.settings import EvaluationSettings, ModelPaths


def test_shipped_paths_are_those_that_are_there(tmp_path) -> None:
    assert ModelPaths.shipped(tmp_path) == ModelPaths()
    for name in (
        "gan-car.safetensors",
        "gan-car-views.yaml",
        "stylegan-r-car.safetensors",
        "pose-regressor-car.safetensors",
    ):
        (tmp_path / name).touch()
    found = ModelPaths.shipped(tmp_path)
    assert found.generator == tmp_path / "gan-car.safetensors"
    assert found.view_codes == tmp_path / "gan-car-views.yaml"
    assert found.stylegan_r == tmp_path / "stylegan-r-car.safetensors"
    assert found.pose_regressor == tmp_path / "pose-regressor-car.safetensors"
    assert found.inverse is None
    assert found.oracle is None
    assert found.segmenter is None


def test_the_package_ships_segmenter_and_pose_regressor() -> None:
    found = ModelPaths.shipped()
    assert found.segmenter is not None
    assert found.pose_regressor is not None


def test_held_out_seed_is_no_training_seed() -> None:
    assert EvaluationSettings().seed > 1_000_000
