"""One turn as gif, mp4 and strip."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
import torch
from PIL import Image

from ganverse.errors import GanverseError
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.reconstruction import turntable
from ganverse.reconstruction.turntable import orbit, write_turntable
from tests.reconstruction.toys import NETWORK


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    """An ellipsoid of a car's size, whose front half is red, from eight sides."""
    network = InverseGraphicsNetwork(NETWORK)
    with torch.no_grad():
        seen = network(torch.rand(1, 3, 32, 32))
    seen.texture[:] = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    seen.texture[:, :, :, 8:] = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    return orbit(network, seen, [45.0 * turn for turn in range(8)], 32)


def test_the_turn_starts_in_front_and_shows_all_sides(frames: torch.Tensor) -> None:
    red, blue = ((frames[:, a] - frames[:, b]).clamp_min(0).mean(dim=(1, 2)) for a, b in ((0, 2), (2, 0)))
    assert red[0] > 5 * blue[0]
    assert blue[4] > 5 * red[4]
    widths = (frames.amin(dim=1) < 0.5).any(dim=1).sum(dim=1)
    assert widths[2] > 1.5 * widths[0]
    assert frames[:, :, 0].min() == 1  # white above


def test_files(tmp_path: Path, frames: torch.Tensor) -> None:
    for ending in ("gif", "png", "mp4"):
        write_turntable(frames, tmp_path / f"turn.{ending}")
    with Image.open(tmp_path / "turn.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (8, (32, 32), 0)
    with Image.open(tmp_path / "turn.png") as strip:
        assert strip.size == (8 * 32, 32)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "turn.mp4")]
    pixels = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True
    ).stdout
    shown = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(-1, 32, 32, 3)
    assert len(shown) == 8
    assert (shown.permute(0, 3, 1, 2) / 255 - frames).abs().mean() < 0.1
    assert len(list(tmp_path.iterdir())) == 3


def test_other_endings_and_missing_ffmpeg(
    tmp_path: Path, frames: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GanverseError, match=r"ending in .gif, .mp4, .png"):
        write_turntable(frames, tmp_path / "turn.avi")
    monkeypatch.setattr(turntable.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GanverseError, match="imageio-ffmpeg"):
        write_turntable(frames, tmp_path / "turn.mp4")
    assert not list(tmp_path.iterdir())
