"""The gallery and both renderers of a scene: what every control moves, files, refusals, time per change."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from ganverse.apps.stage import SAMPLING, SIDE, Look, Stage
from ganverse.data.sampling import MultiViewSampler
from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.weights import load_generator
from ganverse.inverse.weights import load_inverse
from ganverse.masks.segmenter import Segmenter
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.pretrained import SHIPPED
from ganverse.viewpoints.directions import open_views
from ganverse.viewpoints.view_codes import ViewCodes
from tests.apps.studio_toys import make_stage, photo_file
from tests.evaluation.tiny_models import tiny_inverse, tiny_renderer, tiny_source


def sampler_of(generator: ImageGenerator, codes: ViewCodes) -> MultiViewSampler:
    return MultiViewSampler(generator, codes, Segmenter.from_pretrained(), SAMPLING)


LOOK = Look("0", "0", "0", 40.0, 10.0)


@pytest.fixture(scope="module")
def stage() -> Stage:
    return make_stage()


def test_every_control_moves_its_picture(stage: Stage) -> None:
    mesh, neural = stage.show(LOOK)
    assert mesh.shape == neural.shape == (1, 3, SIDE, SIDE)
    for change in ({"azimuth_degrees": 130.0}, {"elevation_degrees": 30.0}, {"scale": 1.4}):
        other = stage.show(replace(LOOK, **change))
        assert (other[0] - mesh).abs().max() > 0.05, change
        assert (other[1] - neural).abs().max() > 0, change
    for part in ("shape", "texture", "background"):
        other = stage.show(replace(LOOK, **{part: "1"}))
        assert (other[0] - mesh).abs().max() > 0.02, part


def test_the_background_is_only_seen_beside_the_mesh(stage: Stage) -> None:
    first, second = (stage.show(replace(LOOK, background=name))[0][0] for name in ("0", "1"))
    moved = (first - second).abs().sum(dim=0) > 1e-4
    assert moved[:20].float().mean() > 0.9
    assert not moved[SIDE // 2 - 4 : SIDE // 2 + 4, SIDE // 2 - 4 : SIDE // 2 + 4].any()


def test_a_larger_scale_shows_a_larger_object(stage: Stage) -> None:
    def covered(scale: float) -> float:
        black = replace(LOOK, scale=scale)
        first, second = (stage.show(replace(black, background=name))[0][0] for name in ("0", "1"))
        return float(((first - second).abs().sum(dim=0) < 1e-5).float().mean())

    assert covered(1.5) > 1.5 * covered(1.0)


def test_files(stage: Stage) -> None:
    with Image.open(io.BytesIO(stage.picture(LOOK))) as picture:
        assert (picture.format, picture.size) == ("PNG", (2 * SIDE, SIDE))
    with Image.open(io.BytesIO(stage.turntable(LOOK))) as turntable:
        assert (turntable.format, turntable.size, turntable.n_frames) == ("GIF", (2 * SIDE, SIDE), 36)
        first = np.array(turntable.convert("RGB"), dtype=int)
        turntable.seek(9)
        assert np.abs(np.array(turntable.convert("RGB"), dtype=int) - first).mean() > 1
    scene = trimesh.load_scene(io.BytesIO(stage.glb(replace(LOOK, texture="1"))), file_type="glb")
    (mesh,) = scene.geometry.values()
    assert len(mesh.faces) == len(stage._network.template.faces)


def test_without_stylegan_r_the_mesh_is_shown_alone() -> None:
    stage = make_stage(neural=False, objects=1)
    assert not stage.neural
    assert len(stage.show(LOOK)) == 1
    with Image.open(io.BytesIO(stage.picture(LOOK))) as picture:
        assert picture.size == (SIDE, SIDE)


@pytest.mark.parametrize("change", [{"scale": 9.0}, {"elevation_degrees": 80.0}, {"azimuth_degrees": float("nan")}])
def test_impossible_looks(change: dict[str, float]) -> None:
    with pytest.raises(GanverseError, match="elevation"):
        replace(LOOK, **change)


def test_unknown_objects(stage: Stage) -> None:
    for part in ("shape", "texture", "background"):
        with pytest.raises(GanverseError, match="gallery"):
            stage.show(replace(LOOK, **{part: "photo-0"}))


def test_a_stylegan_r_of_another_run_is_refused() -> None:
    source = tiny_source()
    other = tiny_inverse("tiny")
    smaller = replace(other.network.config, texture_size=32)
    other = replace(other, network=type(other.network)(smaller))
    renderer = tiny_renderer(source.generator, source.codes, tiny_inverse("tiny"))
    with pytest.raises(GanverseError, match="one run"):
        Stage(other, sampler_of(source.generator, source.codes), Segmenter.from_pretrained(), renderer)


def test_a_change_takes_less_than_300_ms_with_networks_of_full_size() -> None:
    """Time of this process on one core, which a busy machine does not stretch; the weights do not matter."""
    generator, codes = open_views(SHIPPED / "gan-car-views.yaml", load_generator(SHIPPED / "gan-car.safetensors")[0])
    model = load_inverse(SHIPPED / "inverse-car.safetensors")
    config = model.network.config
    vertices = len(model.network.start)
    renderer = StyleGANR(generator, codes.view_dims, vertices=vertices, texture_size=config.texture_size)
    stage = Stage(model, sampler_of(generator, codes), Segmenter.from_pretrained(), renderer.eval())
    stage.sample()
    seconds = []
    for turn in range(6):
        start = time.process_time()
        stage.show(replace(LOOK, azimuth_degrees=60.0 * turn))
        seconds.append(time.process_time() - start)
    assert torch.tensor(seconds).median() < 0.3


def test_number_i_is_always_the_same_object() -> None:
    first, again = make_stage(objects=2), make_stage(objects=2)
    assert list(first.objects) == ["0", "1"]
    for name in ("0", "1"):
        assert torch.equal(first.objects[name].image, again.objects[name].image)
    assert not torch.equal(first.objects["0"].image, first.objects["1"].image)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_photo_is_cut_out_and_its_background_emptied(kind: str) -> None:
    stage = make_stage(objects=0)
    name = stage.add_photo(photo_file(kind))
    assert stage.add_photo(photo_file(kind)) == name
    found = stage.objects[name]
    assert found.image.shape == found.background.shape == (1, 3, 32, 32)
    changed = (found.image - found.background).abs().sum(dim=1)[0] > 0.05
    assert changed[12:20, 12:20].float().mean() > 0.5  # the car was there
    assert changed[:3].float().mean() < 0.05


def test_bad_photos() -> None:
    stage = make_stage(objects=0)
    sky = io.BytesIO()
    Image.new("RGB", (64, 64), (120, 160, 230)).save(sky, "PNG")
    for data, sentence in (
        (b"", "an image"),
        (b"GIF89a", "an image"),
        (photo_file()[:200], "an image"),
        (sky.getvalue(), "covering at least 2 %"),
    ):
        with pytest.raises(GanverseError, match=sentence):
            stage.add_photo(data)
    assert stage.objects == {}
