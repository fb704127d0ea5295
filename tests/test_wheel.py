"""The wheel: everything that runs outside the checkout is in it, and it starts without loading what it does not need.

`.ci/package` goes further: there the installed wheel reconstructs a picture.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import ganverse

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "numpy", "PIL", "warp", "wandb", "pytorch_lightning", "jsonargparse", "rich", "starlette")
SECONDS = 1.5


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")))))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed where nothing else is: of pure Python, so it only has to be unpacked."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files_below(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if "__pycache__" not in path.parts}


def python(site: Path, away: Path, *arguments: str) -> str:
    """Runs in `away` with the unpacked wheel first on the path; what it printed."""
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, *arguments], cwd=away, env=env, check=True, capture_output=True, text=True)
    return done.stdout


def test_the_wheel_holds_the_package_and_its_configs(site: Path) -> None:
    inside = files_below(site / "ganverse")
    oracle = {f"weights/oracle-car.{ending}" for ending in ("json", "md", "safetensors")}
    configs = {f"configs/{name}" for name in files_below(ROOT / "configs")}
    assert inside == files_below(ROOT / "ganverse") - oracle | configs
    for kind in (
        "weights/gan-car.safetensors",
        "apps/pages/studio.html",
        "evaluation/report.html",
        "configs/demo.yaml",
    ):
        assert kind in inside
    outside = {path.name for path in site.iterdir()}
    assert outside == {"ganverse", f"ganverse-{ganverse.__version__}.dist-info"}, "nothing else lands in site-packages"


def test_it_works_away_from_the_checkout(site: Path, tmp_path: Path) -> None:
    assert python(site, tmp_path, "-m", "ganverse", "--version") == f"ganverse {ganverse.__version__}\n"
    program = (
        "from pathlib import Path; import ganverse; from ganverse.cli import _config; "
        "print(Path(ganverse.__file__).parent); print(_config('configs/demo.yaml'))"
    )
    package, config = python(site, tmp_path, "-c", program).splitlines()
    assert Path(package) == site / "ganverse"
    assert Path(config) == site / "ganverse" / "configs" / "demo.yaml"


def test_help_is_quick_and_light(site: Path, tmp_path: Path) -> None:
    program = (
        "import sys, time; from ganverse.cli import main; "
        "[main(a) for a in (['--help'], ['--version'], ['train', '--help'])]; "
        f"print(time.process_time(), *set({HEAVY}) & set(sys.modules))"
    )
    seconds, *loaded = python(site, tmp_path, "-c", program).splitlines()[-1].split()
    assert loaded == []
    assert float(seconds) < SECONDS


def test_the_source_archive_holds_all_that_its_tests_read() -> None:
    names = {file.relative_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    wanted = ["ganverse", "configs", "tests", "docs", "benchmarks", "examples", "docker", ".ci"]
    files = {f"{folder}/{name}" for folder in wanted for name in files_below(ROOT / folder)}
    assert files - names == set()
    assert {
        "Dockerfile",
        "constraints.txt",
        "train.py",
        "evaluate.py",
        "Makefile",
        "CITATION.cff",
        "CONTRIBUTING.md",
    } <= names
