"""The Dockerfile, as far as it can be checked without an engine: what it copies, whom it runs as, its pinned pair."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.test_package import project

ROOT = Path(__file__).parent.parent
TARGETS = ("cpu", "cuda")


def instructions() -> list[tuple[str, str]]:
    """Keyword and arguments of every instruction, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def stage(target: str) -> list[tuple[str, str]]:
    """The instructions of one image."""
    every = instructions()
    starts = [i for i, (keyword, _) in enumerate(every) if keyword == "FROM"]
    (start,) = [i for i in starts if every[i][1].endswith(f" AS {target}")]
    return every[start : next((i for i in starts if i > start), len(every))]


def arguments(target: str, keyword: str) -> list[str]:
    return [given for found, given in stage(target) if found == keyword]


def sent_to_the_engine(name: str) -> bool:
    """Whether .dockerignore lets a path of the repository through; its last matching line decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").strip()
        paths = (name, name.split("/")[0])
        if pattern and not line.startswith("#") and any(fnmatch.fnmatch(path, pattern) for path in paths):
            sent = line.startswith("!")
    return sent


@pytest.mark.parametrize("target", TARGETS)
def test_everything_copied_exists_and_reaches_the_engine(target: str) -> None:
    copies = [[word for word in given.split() if not word.startswith("--")] for given in arguments(target, "COPY")]
    sources = [source for words in copies for source in words[:-1]]
    assert len(sources) >= 6
    for source in sources:
        assert (ROOT / source).exists(), source
        assert sent_to_the_engine(source), f".dockerignore keeps {source} back"
    assert not sent_to_the_engine("tests/test_package.py")


@pytest.mark.parametrize("target", TARGETS)
def test_images_run_as_nobody_special_and_say_how_they_are(target: str) -> None:
    assert arguments(target, "USER")[-1] == "1000"
    assert "RUN" not in [keyword for keyword, _ in stage(target)[stage(target).index(("USER", "1000")) :]]
    (check,) = arguments(target, "HEALTHCHECK")
    program = json.loads(check.split(" CMD ")[1])
    assert program[:2] == ["python", "-c"]
    ast.parse(program[2])
    script = json.loads(arguments(target, "CMD")[-1])[1]
    copied = " ".join(given for given in arguments(target, "COPY") if given.endswith(" ./"))
    assert script in copied, "the default command is there"
    (image,) = arguments(target, "FROM")
    assert re.search(r":[\w.-]*\d", image), "a version, not `latest`"


def test_kaolin_comes_with_the_torch_it_was_built_for() -> None:
    runs = " ".join(arguments("cuda", "RUN"))
    (torch,) = set(re.findall(r"\btorch==([\d.]+)", runs))
    assert len(set(re.findall(r"torchvision==([\d.]+)", runs))) == 1
    page_torch, page_cuda = re.search(r"nvidia-kaolin\S*/torch-([\d.]+)_cu(\d+)\.html", runs).groups()
    assert page_torch == torch
    assert f"whl/cu{page_cuda} " in f"{runs} "
    assert re.search(r"cuda:(\d+)\.(\d+)", arguments("cuda", "FROM")[0]).groups() == (page_cuda[:2], page_cuda[2:])
    assert "-runtime-" in arguments("cuda", "FROM")[0]
    (extra,) = map(Requirement, project()["optional-dependencies"]["kaolin"])
    assert extra.specifier.contains(re.search(r"kaolin==([\d.]+)", runs)[1])


def test_the_pair_is_not_overruled_by_the_lock_file() -> None:
    pattern = re.search(r"grep -vE '([^']+)' constraints.txt", " ".join(arguments("cuda", "RUN")))[1]
    kept = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not re.search(pattern, line)]
    names = {re.split(r"[=\s;]", line)[0] for line in kept if line[:1].isalnum()}
    assert {"pytorch-lightning", "warp-lang", "numpy"} <= names
    assert {name for name in names if name.startswith(("torch", "nvidia-", "cuda-", "triton"))} == {"torchmetrics"}
