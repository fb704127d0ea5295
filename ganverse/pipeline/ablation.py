"""Ablations: one base configuration of the inverse stage, variants of it, several seeds, one table.

`ganverse ablate` trains and evaluates what is not there yet, so that it goes on where it stopped and a table can grow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from ganverse.errors import GanverseError
from ganverse.evaluation.evaluate import SCORES
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.generators.weights import write_atomically
from ganverse.pipeline.ablation_table import Row, markdown, rows_of
from ganverse.pipeline.commands import quieten, stage_settings
from ganverse.pipeline.configuration import Section, build_parser, packaged_config, parse, section_of
from ganverse.pipeline.inverse import InverseRun, train_inverse
from ganverse.pipeline.report import STAGE, ReportRun, report
from ganverse.tasks.devices import is_first_process

TABLE, NUMBERS = "ablations.md", "ablations.json"


@dataclass(frozen=True)
class Variant:
    """A change of the base configuration.

    meaning: for the table. overrides: dotted settings of the inverse stage and their values.
    """

    meaning: str
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AblationStudy:
    """Which variants are trained and how they are compared.

    run: folder; run VARIANT with seed S goes below RUN/VARIANT/seed-S, the table into RUN.
    base: configuration of the inverse stage, below configs/ or a file; every run starts from it.
    settings: YAML mapping of dotted settings of every run, variants win over it.
    variants: YAML mapping of names to `meaning` and `overrides`; the first is what the others are compared with.
    seeds: of networks and samples; the held-out objects are the same for all.
    only: names of the variants to train now; empty = all. The table shows all that are there.
    evaluation: how much is measured.
    """

    run: Path = Path("runs/ablations")
    base: str = "car/twin.yaml"
    settings: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    only: list[str] = field(default_factory=list)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def parsed(self) -> dict[str, Variant]:
        """The variants by name.

        Raises:
            GanverseError: there are none, one has other parts, or `only` names another.
        """
        if not self.variants or not self.seeds:
            raise GanverseError("expected at least one variant and one seed, got none; see configs/ablations")
        try:
            found = {name: Variant(**parts) for name, parts in self.variants.items()}
        except TypeError as error:
            raise GanverseError(f"expected variants of `meaning` and `overrides`, got {error}") from error
        unknown = [name for name in self.only if name not in found]
        if unknown:
            raise GanverseError(f"expected --only of {', '.join(found)}, got {unknown[0]}")
        return found


def ablate_command(arguments: Sequence[str]) -> bool:
    """`ganverse ablate ...`; False if it was interrupted.

    Raises:
        GanverseError: settings that do not exist, or runs that began with others.
    """
    quieten()
    section = Section("", AblationStudy)
    parser = build_parser("ganverse ablate", "Trains variants of a configuration and compares them.", [section])
    call = parse(parser, arguments, packaged_config("ablations/car-world.yaml"))
    return ablate(section_of(call, section))


def ablate(study: AblationStudy) -> bool:
    """Trains, evaluates, writes the table after every run; False if it was interrupted."""
    variants = study.parsed()
    console = Console(stderr=True)
    # All configurations first: a misspelt setting is found before hours of training.
    plans = {
        (name, seed): configuration(study, name, variant, seed)
        for seed in study.seeds
        for name, variant in variants.items()
        if not study.only or name in study.only
    }
    for number, ((name, seed), config) in enumerate(plans.items(), start=1):
        console.print(f"run {number} of {len(plans)}: {name}, seed {seed}", highlight=False)
        if not train_inverse(config):
            return False
        if not (config.run / STAGE / SCORES).is_file():
            report(ReportRun(config.run, config.data, study.evaluation, config.trainer))
        if is_first_process():
            write_table(study)
    console.print(f"table: {study.run / TABLE}", highlight=False, soft_wrap=True)
    return True


def configuration(study: AblationStudy, name: str, variant: Variant, seed: int) -> InverseRun:
    """What a run is trained with; GanverseError if a setting does not exist."""
    path = Path(study.base)
    base = path if path.is_file() else packaged_config(study.base)
    flags = _flags({**study.settings, **variant.overrides, "seed": seed, "data.sampling.seed": seed})
    run = study.run / name / f"seed-{seed}"
    config: InverseRun = stage_settings("inverse", ["--config", str(base), *flags, f"--run={run}"])
    return config


def _flags(settings: Mapping[str, Any]) -> list[str]:
    """As on a command line."""
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items()]


def write_table(study: AblationStudy) -> list[Row]:
    """RUN/ablations.md and .json of all evaluated runs of the study."""
    variants = study.parsed()
    found = {
        name: {seed: scores for seed in study.seeds if (scores := _scores(study.run / name / f"seed-{seed}"))}
        for name in variants
    }
    rows = rows_of(found, {name: variant.meaning for name, variant in variants.items()})
    write_atomically(study.run / TABLE, markdown(rows).encode())
    numbers = {row.name: {"meaning": row.meaning, "seeds": row.seeds, "numbers": row.as_json()} for row in rows}
    write_atomically(study.run / NUMBERS, (json.dumps(numbers, indent=2) + "\n").encode())
    return rows


def _scores(run: Path) -> dict[str, dict[str, float]]:
    path = run / STAGE / SCORES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
