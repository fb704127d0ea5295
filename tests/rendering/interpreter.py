"""A Python of its own, for what cannot be shown inside pytest's."""

import os
import subprocess
import sys
from pathlib import Path


def run_python(*arguments: str, mentions_warp: bool = False) -> str:
    """Last line printed by a fresh interpreter in the project's root; a deadlock ends in a time-out."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert mentions_warp or "Warp" not in done.stdout + done.stderr, "Warp starts silently"
    return done.stdout.strip().splitlines()[-1]
