"""Trains variants of a configuration and compares them: `python experiments/ablate.py experiments/views.yaml`.

    run: runs/ablations/views          # every variant writes below it; a finished one is not trained again
    config: configs/car/inverse.yaml   # what all share
    flags: [--model.images=64000]      # of all, after the configuration
    variants:
      one view: [--data.sampling.views=1]
    evaluation: [--world_objects=48]   # flags of evaluate.py
    metrics: [gan/iou_unseen]          # columns; all without it

Every variant is one `train.py fit` and one `evaluate.py --run`; the table is printed and written to RUN/table.md.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ganverse.cli import evaluate, train
from ganverse.errors import GanverseError
from ganverse.io import read_yaml, write_atomically


@dataclass(frozen=True)
class Study:
    """What is compared; see the module."""

    run: str
    config: str
    variants: Mapping[str, list[str]]
    flags: list[str] = field(default_factory=list)
    evaluation: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)


def read_study(path: Path) -> Study:
    """The YAML file.

    Raises:
        GanverseError: it is missing or no study.
    """
    found = read_yaml(path)
    try:
        return Study(**found) if isinstance(found, dict) else Study()
    except TypeError as error:
        raise GanverseError(f"expected run, config and variants in {path}, got: {error}") from error


def run_study(study: Study) -> str:
    """Trains and evaluates what is missing; the table in Markdown."""
    rows: dict[str, dict[str, float]] = {}
    for name, own in study.variants.items():
        folder = Path(study.run) / re.sub(r"\W+", "-", name)
        metrics = folder / "report" / "metrics.json"
        if not metrics.is_file():
            root = folder / "inverse"
            resume = ["--ckpt_path=last"] if (root / "checkpoints" / "last.ckpt").is_file() else []
            flags = [*study.flags, *own, f"--trainer.default_root_dir={root}", *resume]
            calls = (
                lambda flags=flags: train(["fit", "--config", study.config, *flags]),
                lambda folder=folder: evaluate(["--run", str(folder), *study.evaluation]),
            )
            if any(call() for call in calls):
                raise SystemExit(f"{name} failed")
        rows[name] = json.loads(metrics.read_text(encoding="utf-8"))
    columns = study.metrics or sorted(set().union(*rows.values()))
    lines = [["variant", *columns], ["---"] * (len(columns) + 1)]
    lines += [[name, *(f"{found[c]:.3f}" if c in found else "" for c in columns)] for name, found in rows.items()]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    write_atomically(Path(study.run) / "table.md", table.encode())
    return table


if __name__ == "__main__":
    try:
        print(run_study(read_study(Path(sys.argv[1]))))
    except (GanverseError, IndexError) as problem:
        raise SystemExit(f"{problem}\nusage: python experiments/ablate.py STUDY.yaml") from problem
