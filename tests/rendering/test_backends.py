"""Which backend does the work."""

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.rendering import backends
from ganverse.rendering.backends import Backend, available_backends, choose_backend

BOTH: tuple[Backend, ...] = ("reference", "warp")
CPU = torch.device("cpu")


def test_warp_is_chosen_on_the_cpu() -> None:
    assert available_backends()[-1] == "reference"
    name, reason = choose_backend("auto", CPU)
    assert name == "warp"
    assert "cpu" in reason


def test_without_warp_the_reference_is_chosen_and_the_reason_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backends, "_installed", lambda name: name == "reference")
    name, reason = choose_backend("auto", CPU)
    assert name == "reference"
    assert "warp: not installed" in reason
    assert available_backends() == ("reference",)


def test_an_explicit_choice_wins() -> None:
    for name in BOTH:
        assert choose_backend(name, CPU) == (name, "asked for")


@pytest.mark.parametrize("name", ["warp", "kaolin"])
def test_a_missing_backend_is_refused_with_how_to_install_it(name: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_installed", lambda name: name == "reference")
    with pytest.raises(GanverseError, match=f"'{name}' cannot be used on cpu: not installed; .*(pip install|wheel)"):
        choose_backend(name, CPU)


def test_kaolin_is_refused_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_installed", lambda name: True)
    with pytest.raises(GanverseError, match="CUDA only"):
        choose_backend("kaolin", CPU)
    assert choose_backend("kaolin", torch.device("cuda"))[0] == "kaolin"
