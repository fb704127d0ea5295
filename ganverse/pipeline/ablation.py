"""Ablations: one base configuration of a stage, variants of it, several seeds, one table.

`ganverse ablate` trains and evaluates what is not there yet, so that it goes on where it stopped and a table can grow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from ganverse.errors import GanverseError
from ganverse.evaluation.evaluate import SCORES
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.io import write_atomically
from ganverse.pipeline.ablation_table import COLUMNS, Row, markdown, rows_of
from ganverse.pipeline.commands import quieten, stage_settings
from ganverse.pipeline.configuration import Section, build_parser, packaged_config, parse, section_of
from ganverse.pipeline.disentangle import DisentangleRun, teacher_path
from ganverse.pipeline.inverse import InverseRun
from ganverse.pipeline.report import STAGE, ReportRun, report
from ganverse.pipeline.stages import PipelineRun, round_folder, round_steps, step
from ganverse.training.devices import is_first_process

TABLE, NUMBERS = "ablations.md", "ablations.json"
Trained = InverseRun | DisentangleRun


@dataclass(frozen=True)
class Variant:
    """A change of the base configuration.

    meaning: for the table. overrides: dotted settings of the stage and their values. rounds: how often stages inverse
    and disentangle are trained in turn (`train.py --rounds`); of stage disentangle only. of: name of the variant whose
    later round this is, so that the rounds before are trained once; empty = a run of its own.
    """

    meaning: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 1
    of: str = ""


@dataclass(frozen=True)
class AblationStudy:
    """Which variants are trained and how they are compared.

    run: folder; run VARIANT with seed S goes below RUN/VARIANT/seed-S, a later round of a variant into that variant's
        folder, the table into RUN.
    stage: what is trained.
    base: configuration of that stage, below configs/ or a file; every run starts from it.
    settings: YAML mapping of dotted settings of every run, variants win over it.
    variants: YAML mapping of names to `meaning`, `overrides`, `rounds` and `of`; the first is what the others are
        compared with.
    later_inverse: YAML mapping of dotted settings of stage inverse in the rounds after the first.
    seeds: of networks and samples; the held-out objects are the same for all.
    only: names of the variants to train now; empty = all. The table shows all that are there.
    evaluation: how much is measured.
    page: Markdown file that gets the table too, below `heading`; null = none.
    heading: Markdown.
    """

    run: Path = Path("runs/ablations")
    stage: Literal["inverse", "disentangle"] = "inverse"
    base: str = "car/oracle.yaml"
    settings: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    later_inverse: dict[str, Any] = field(default_factory=dict)
    only: list[str] = field(default_factory=list)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    page: Path | None = None
    heading: str = ""

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
        for name, variant in found.items():
            if variant.of and (variant.of not in found or variant.overrides or variant.rounds < 2):
                raise GanverseError(
                    f"expected {name} to be a later round of a variant, without overrides of its own, got {variant}"
                )
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
        (name, seed): configurations(study, name, variant, seed)
        for seed in study.seeds
        for name, variant in variants.items()
        if not study.only or name in study.only
    }
    for number, ((name, seed), configs) in enumerate(plans.items(), start=1):
        console.print(f"run {number} of {len(plans)}: {name}, seed {seed}", highlight=False)
        if not all(step(config).run() for config in configs):
            return False
        last = configs[-1]
        if not (last.run / STAGE / SCORES).is_file():
            report(ReportRun(last.run, last.data, study.evaluation, last.trainer))
        if is_first_process():
            write_table(study)
    console.print(f"table: {study.run / TABLE}", highlight=False, soft_wrap=True)
    return True


def configuration(study: AblationStudy, name: str, variant: Variant, seed: int) -> Trained:
    """What a run's first round is trained with; GanverseError if a setting does not exist."""
    path = Path(study.base)
    base = path if path.is_file() else packaged_config(study.base)
    overrides = study.parsed()[variant.of].overrides if variant.of else variant.overrides
    flags = _flags({**study.settings, **overrides, "seed": seed, "data.sampling.seed": seed})
    run = _run(study, name, variant, seed)
    config: Trained = stage_settings(study.stage, ["--config", str(base), *flags, f"--run={run}"])
    return config


def configurations(study: AblationStudy, name: str, variant: Variant, seed: int) -> list[Trained]:
    """`configuration`, and those of the rounds after the first.

    Raises:
        GanverseError: a setting does not exist, or rounds of a stage that has none.
    """
    first = configuration(study, name, variant, seed)
    if isinstance(first, DisentangleRun):
        first = replace(first, inverse=teacher_path(first))  # later rounds ask for it by name
    if variant.rounds == 1:
        return [first]
    if not isinstance(first, DisentangleRun) or variant.rounds < 1:
        raise GanverseError(
            f"expected 1 round, or more in a study of stage disentangle, got {variant.rounds} for {name}; correct it"
        )
    later: InverseRun = stage_settings("inverse", _flags({**study.later_inverse, "seed": seed}))
    whole = PipelineRun(first.run, first.data, first.trainer, inverse=later, disentangle=first, rounds=variant.rounds)
    steps = [one.config for number in range(2, variant.rounds + 1) for one in round_steps(whole, number)]
    return [first, *(config for config in steps if isinstance(config, (InverseRun, DisentangleRun)))]


def _run(study: AblationStudy, name: str, variant: Variant, seed: int) -> Path:
    return study.run / (variant.of or name) / f"seed-{seed}"


def _flags(settings: Mapping[str, Any]) -> list[str]:
    """As on a command line."""
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items()]


def write_table(study: AblationStudy) -> list[Row]:
    """RUN/ablations.md and .json of all evaluated runs of the study, and its page."""
    variants = study.parsed()
    found = {name: _found(study, name, variant) for name, variant in variants.items()}
    rows = rows_of(found, {name: variant.meaning for name, variant in variants.items()})
    table = markdown(rows, COLUMNS[study.stage])
    write_atomically(study.run / TABLE, table.encode())
    numbers = {row.name: {"meaning": row.meaning, "seeds": row.seeds, "numbers": row.as_json()} for row in rows}
    write_atomically(study.run / NUMBERS, (json.dumps(numbers, indent=2) + "\n").encode())
    if study.page is not None:
        write_atomically(study.page, f"{study.heading.rstrip()}\n\n{table}".encode())
    return rows


def _found(study: AblationStudy, name: str, variant: Variant) -> dict[int, dict[str, dict[str, float]]]:
    """The scores of a variant's last round by seed, of the seeds that have been evaluated."""
    runs = {seed: round_folder(_run(study, name, variant, seed), variant.rounds) for seed in study.seeds}
    return {seed: scores for seed, run in runs.items() if (scores := _scores(run))}


def _scores(run: Path) -> dict[str, dict[str, float]]:
    path = run / STAGE / SCORES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
