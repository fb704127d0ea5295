"""A user without rights and with a home that cannot be written to, as in many containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import pipeline_toys as toys
from tests.reconstruction.toys import save_mask, save_photo, save_weights

ROOT, NOBODY = Path(__file__).parent.parent, 65534
CODE = """
import json, sys
from ganverse.cli import main
print([main(arguments) for arguments in json.loads(sys.argv[1])])
"""


def unprivileged() -> list[str]:
    """What starts a command without the rights of root, who may only read what root reads: Python may be root's."""
    if os.geteuid() != 0:
        return []
    ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    drop = ["setpriv", *ids, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    if subprocess.run([*drop, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this container's root cannot become another user who reads Python")
    return drop


def test_photos_and_trainings_without_a_home(tmp_path: Path) -> None:
    drop, home, out = unprivileged(), tmp_path / "home", tmp_path / "out"
    for folder in (home, out):
        folder.mkdir()
    home.chmod(0o555)
    if drop:
        os.chown(out, NOBODY, NOBODY)
    photo, mask = save_photo(tmp_path / "a.png"), save_mask(tmp_path / "mask.png")
    network, gan = save_weights(tmp_path / "net.safetensors"), toys.save_gan(tmp_path)
    one = ["reconstruct", photo, "-o", out / "a.glb", "--masks", mask, "--weights", network]
    train = [
        "train",
        *toys.command("InverseGraphics", out / "run", gan),
        f"--data.segmenter={toys.save_segmenter(tmp_path / 'any.safetensors')}",
    ]
    kept = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "WARP_CACHE_PATH")}
    env = {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    calls = json.dumps([[str(part) for part in call] for call in (one, train)])
    done = subprocess.run(
        [*drop, sys.executable, "-c", CODE, calls], cwd=out, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "[0, 0]", done.stderr
    assert done.stderr.count("set WARP_CACHE_PATH to a folder for compiled kernels that can be written") == 1
    assert "mkdir" not in done.stderr
    assert (out / "a.glb").is_file()
    assert (out / "run" / "weights.safetensors").is_file()
    assert list(home.iterdir()) == []
