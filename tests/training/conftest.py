from __future__ import annotations

import pytest

from tests.tasks import toys


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> toys.Files:
    return toys.save_files(tmp_path_factory.mktemp("weights"))
