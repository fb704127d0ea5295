"""What holds for every test: annotations are checked, random numbers are fixed, one thread does the arithmetic."""

from __future__ import annotations

import importlib.util
import os
import random
from typing import TYPE_CHECKING

import hypothesis
import jaxtyping
import numpy as np
import pytest
import torch

from tests.chromium import missing_for_browser_tests

if TYPE_CHECKING:
    from tests.tasks.toys import Files

# Every annotation of the package is checked at run time, in pytest-xdist's worker processes too: each of them loads
# this file before it collects a test. The hook rewrites modules as they are imported, so it comes before any of them.
# The numeric tower: an int may stand where `float` is written, as PEP 484 and mypy have it.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
HOOK = jaxtyping.install_import_hook("ganverse", CHECKER)

# The processes of pytest-xdist fill the cores; two thread pools on one core only slow each other down.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

# Examples are the same in every run, and none fails for being slow: machines differ.
hypothesis.settings.register_profile(
    "ganverse",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ganverse")

SEED = 0


@pytest.fixture(autouse=True)
def fixed_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test draws the same random numbers, alone or in a suite, in any order."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)  # left by the command line's seed_everything
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 - the global state is what libraries draw from
    torch.manual_seed(SEED)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Weights of a tiny GAN, a segmenter and an inverse network."""
    from tests.tasks.toys import save_files

    return save_files(tmp_path_factory.mktemp("weights"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests whose hardware is absent and says so in the closing line as "deselected"."""
    cuda = torch.cuda.is_available()
    kaolin = cuda and importlib.util.find_spec("kaolin") is not None
    browser = missing_for_browser_tests() is None
    machine = (("requires_cuda", cuda), ("requires_kaolin", kaolin), ("requires_browser", browser))
    absent = {name for name, present in machine if not present}
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in absent)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says why the pages were not tried in a browser."""
    missing = missing_for_browser_tests()
    if missing is not None:
        terminalreporter.write_line(f"left out the tests that need a browser, since there is no {missing}")
