"""Spoiled files of every kind that others make: a result or one sentence, in bounded time. See `fuzz_readers`."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz_readers import Reader, attempt, readers
from tests.importing_toys import foreign_modules

__all__ = ["foreign_modules"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    return readers(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("foreign_modules")
@settings(deadline=None, max_examples=12)
@given(source=st.randoms(use_true_random=False))
def test_spoiled_files_are_one_sentence(found: dict[str, Reader], source: random.Random) -> None:
    for kind, reader in found.items():
        assert attempt(reader, source) < 10, kind
