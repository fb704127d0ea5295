from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from ganverse.errors import GanverseError
from ganverse.inverse import perceptual
from ganverse.inverse.perceptual import PerceptualDistance, ShiftTolerantAlexNet, choose_source


@pytest.fixture(scope="module")
def distance():
    return PerceptualDistance("stlpips")


def picture(seed: int, batch: int = 2) -> torch.Tensor:
    coarse = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear")


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
    first = PerceptualDistance("stlpips", stages=2)
    assert (first(picture(0), picture(1)) < distance(picture(0), picture(1))).all()
    assert len(ShiftTolerantAlexNet.packaged(3)(picture(0))) == 3
    with pytest.raises(GanverseError, match="stages"):
        PerceptualDistance(stages=6)


def test_nothing_is_downloaded_and_the_choice_falls_back(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("tried to download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    assert choose_source() == "stlpips"
    with pytest.raises(GanverseError, match="stlpips-pytorch"):
        choose_source("lpips")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").touch()
    assert choose_source() == "lpips"


def test_without_any_weights_the_message_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(perceptual, "_stlpips_weights", lambda: None)
    with pytest.raises(GanverseError, match="pip install stlpips-pytorch"):
        PerceptualDistance()


def test_the_lpips_package_gives_the_same_interface_and_its_own_numbers():
    stages = perceptual._LpipsStages(5, random_backbone=True)
    a, b = picture(0), picture(1)
    features = stages(a * 2 - 1)
    assert [f.shape[1] for f in features] == [64, 192, 384, 256, 256]
    measure = PerceptualDistance("stlpips")
    measure.network = stages.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lpips

        oracle = lpips.LPIPS(net="alex", verbose=False, pnet_rand=True)
    oracle.net, oracle.lins = stages.backbone, oracle.lins
    with torch.no_grad():
        torch.testing.assert_close(measure(a, b), oracle(a * 2 - 1, b * 2 - 1).flatten(), rtol=1e-3, atol=1e-5)
