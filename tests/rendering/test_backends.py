"""Which backend does the work."""

import inspect
from pathlib import Path

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.rendering import backends
from ganverse.rendering.backends import Backend, available_backends, choose_backend
from tests.rendering.interpreter import run_python

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
        assert choose_backend(name, CPU) == (name, "requested")


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(GanverseError, match="out of auto, reference, warp, kaolin, got 'wrap'"):
        inspect.unwrap(choose_backend)("wrap", CPU)


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


UNWRITABLE = """
import os, sys, warnings
os.environ["WARP_CACHE_PATH"] = sys.argv[1]
import torch
import ganverse.rendering
from ganverse.geometry import Cameras, sphere_template
from ganverse.rendering import render
assert "warp" not in sys.modules
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        result = render(sphere_template(1), torch.rand(1, 3, 4, 4), Cameras.from_degrees([0.0], [0.0], [4.0]), size=8)
assert (result.face_index >= 0).any()
(warning,) = caught
print(warning.message)
"""


@pytest.mark.parametrize("folder", ["file/cache", "/proc/ganverse"])
def test_without_a_writable_folder_for_kernels_the_reference_renders_and_one_warning_says_so(
    folder: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    printed = run_python("-c", UNWRITABLE, str(tmp_path / folder), mentions_warp=True)
    assert "slow reference backend" in printed
    assert str(tmp_path / folder) in printed
    assert "set WARP_CACHE_PATH to a folder" in printed


def test_warp_starts_at_the_first_rendering_only() -> None:
    script = "import sys, ganverse.rendering.renderer, ganverse.rendering.rasterization; print('warp' in sys.modules)"
    assert run_python("-c", script) == "False"
