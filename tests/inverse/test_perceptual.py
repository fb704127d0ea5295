from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from ganverse.errors import GanverseError
from ganverse.inverse import perceptual
from ganverse.inverse.perceptual import PerceptualDistance, available_weights


@pytest.fixture(scope="module")
def distance():
    return PerceptualDistance()


def picture(seed: int, batch: int = 2) -> torch.Tensor:
    coarse = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear")


def random_lpips(weights: str, stages: int = 5) -> PerceptualDistance:
    """The heads of the `lpips` package over a backbone of random weights, which needs no file."""
    made = PerceptualDistance(stages=stages)
    made._compare_with(*perceptual._lpips(weights, stages, random_backbone=True))
    return made


def test_equal_pictures_are_at_distance_zero_and_others_are_not(distance):
    a, b = picture(0), picture(1)
    assert distance(a, a).abs().max() == 0
    between = distance(a, b)
    assert between.shape == (2,)
    assert (between > 0.05).all()
    torch.testing.assert_close(between, distance(b, a))


def test_a_small_shift_is_nearer_than_another_picture(distance):
    a = picture(0)
    assert (distance(a, a.roll(1, dims=-1)) < 0.5 * distance(a, picture(1))).all()


def test_gradient_reaches_the_picture_and_no_weight(distance):
    rendered = picture(0).requires_grad_()
    distance(rendered, picture(1)).sum().backward()
    assert rendered.grad is not None
    assert rendered.grad.abs().sum() > 0
    assert torch.isfinite(rendered.grad).all()
    assert not any(parameter.requires_grad for parameter in distance.parameters())
    assert not distance.train().training


def test_blank_pictures_have_finite_gradients(distance):
    blank = torch.zeros(1, 3, 64, 64, requires_grad=True)
    distance(blank, picture(1, 1)).sum().backward()
    assert torch.isfinite(blank.grad).all()


def test_fewer_stages_are_a_part_of_the_sum(distance):
    first = PerceptualDistance(stages=2)
    assert (first(picture(0), picture(1)) < distance(picture(0), picture(1))).all()
    assert len(first.network(picture(0))) == 2
    assert (first.name, distance.name) == ("stlpips-2", "stlpips-5")
    with pytest.raises(GanverseError, match="stages"):
        PerceptualDistance(stages=6)


def test_layers_have_the_sizes_of_a_dense_alexnet(distance):
    """At 64 px: 11 x 11 with two pixels of border, 58, halved; then each halving follows a pooling that takes two."""
    shapes = [tuple(features.shape[1:]) for features in distance.network(picture(0))]
    assert shapes == [(64, 30, 30), (192, 15, 15), (384, 8, 8), (256, 8, 8), (256, 8, 8)]


def test_pictures_below_24_pixels_are_refused(distance):
    small = torch.rand(1, 3, 24, 32)
    assert distance(small, small.flip(1)).isfinite().all()
    with pytest.raises(GanverseError, match="at least 24 px"):
        distance(small[:, :, 1:], small[:, :, 1:])


def test_the_choice_depends_on_no_cache_and_nothing_is_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("tried to download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    assert available_weights() == ["stlpips"]
    for weights, file in (("lpips-alex", "alexnet-owt-7be5be79.pth"), ("lpips-vgg", "vgg16-397923af.pth")):
        with pytest.raises(GanverseError, match=file):
            PerceptualDistance(weights)
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        (tmp_path / "checkpoints" / file).touch()
    assert available_weights() == ["stlpips", "lpips-alex", "lpips-vgg"]
    assert PerceptualDistance().name == "stlpips-5"


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(perceptual, "_STLPIPS_FILE", tmp_path / "none.pth")
    with pytest.raises(GanverseError, match="pip install stlpips-pytorch"):
        PerceptualDistance()


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_the_lpips_package_gives_the_same_interface_and_its_own_numbers(net):
    import lpips

    measure = random_lpips(f"lpips-{net}")
    a, b = picture(0), picture(1)
    assert len(measure.network(a * 2 - 1)) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = lpips.LPIPS(net=net, verbose=False, pnet_rand=True)
    oracle.net = measure.network[1]
    with torch.no_grad():
        torch.testing.assert_close(measure(a, b), oracle(a * 2 - 1, b * 2 - 1).flatten(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("make", [PerceptualDistance, lambda: random_lpips("lpips-alex")])
def test_all_of_it_follows_to_another_device(make):
    """Tensors of the meta device stand for a GPU's: an operation that mixes the two raises."""
    measure = make().to("meta")
    image = picture(0).to("meta")
    assert measure(image, image).device.type == "meta"
