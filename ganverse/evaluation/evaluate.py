"""Everything that can be measured on what is there: one table, metrics.json, the report page."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from rich.console import Console

from ganverse.distributed import rank_and_processes
from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.catalog import CATALOG
from ganverse.evaluation.comparison import photo_sheet, world_sheet
from ganverse.evaluation.control import Studio, control
from ganverse.evaluation.control_figures import more_control_figures
from ganverse.evaluation.edits import edit_pictures, edit_scores
from ganverse.evaluation.figures import (
    Figure,
    aligned_views,
    control_figures,
    edit_figure,
    reconstructions,
    world_reconstructions,
)
from ganverse.evaluation.gan_identity import read_grid
from ganverse.evaluation.held_out import HeldOutObjects, held_out_samples
from ganverse.evaluation.identity_scores import identity_scores, measured_cameras
from ganverse.evaluation.metrics import Score
from ganverse.evaluation.models import Models, Source, load_models
from ganverse.evaluation.pascal3d import Pascal3D
from ganverse.evaluation.photographs import PhotoFolder, folder_scores, pascal3d_scores
from ganverse.evaluation.report import Download, Report, summary_table, write_report
from ganverse.evaluation.settings import EvaluationSettings, ModelPaths
from ganverse.evaluation.world_truth import WorldTruth, calibrate, world_batch
from ganverse.export.textured import glb_bytes
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import InverseModel
from ganverse.io import write_atomically
from ganverse.masks.segmenter import Segmenter
from ganverse.neural_renderer.refinement import DescentSettings
from ganverse.reconstruction.refinement import RefinementSettings
from ganverse.viewpoints.view_codes import view_styles
from ganverse.worlds.generator import CarWorldGenerator

METRICS, SCORES = "metrics.json", "scores.json"


def evaluate_models(
    paths: ModelPaths, output: Path, settings: EvaluationSettings | None = None, *, console: Console | None = None
) -> dict[str, float]:
    """Load, measure, print one table, write `output`/metrics.json and `output`/index.html.

    Returns what is in metrics.json: flat, `part/name`; numbers that these models do not cover are absent. On several
    processes the objects are shared out and the first process prints and writes.

    Raises:
        GanverseError: nothing to evaluate, or models that are missing, broken or do not belong together.
    """
    settings = settings or EvaluationSettings()
    return evaluate_loaded(load_models(paths, settings.device), output, settings, console=console)


def evaluate_loaded(
    models: Models, output: Path, settings: EvaluationSettings, *, console: Console | None = None
) -> dict[str, float]:
    """`evaluate_models` on models that are open already."""
    first = rank_and_processes()[0] == 0
    console = console or Console(quiet=not first)
    evaluation = Evaluation(models, settings, console, draws=first)
    evaluation.run()
    metrics = published(evaluation.scores)
    if first:
        report = evaluation.report()
        write_json(metrics, output / METRICS)
        write_json({key: asdict(score) for key, score in finite(evaluation.scores).items()}, output / SCORES)
        page = write_report(report, output)
        console.print(summary_table(evaluation.scores, console.width))
        for note in report.notes:
            console.print(f"note: {note}")
        console.print(f"report: {page}")
    return metrics


def published(scores: dict[str, Score]) -> dict[str, float]:
    """What metrics.json holds: finite numbers with an entry of their own, in the catalog's order."""
    return {key: score.value for key, score in finite(scores).items() if CATALOG[key].published}


def finite(scores: dict[str, Score]) -> dict[str, Score]:
    """What is a number, in the catalog's order: the contents of scores.json, with intervals and counts."""
    return {key: scores[key] for key in CATALOG if key in scores and math.isfinite(scores[key].value)}


def write_json(contents: Mapping[str, object], path: Path) -> None:
    """Indented, without NaN, never half of it."""
    write_atomically(path, (json.dumps(contents, indent=2, allow_nan=False) + "\n").encode())


@dataclass
class Evaluation:
    """One evaluation while it runs. draws: whether this process makes figures."""

    models: Models
    settings: EvaluationSettings
    console: Console
    draws: bool = True
    scores: dict[str, Score] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    downloads: list[Download] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self) -> None:
        """All parts that the models allow."""
        models = self.models
        self.notes += models.notes
        cameras = None if models.gan is None else self._views("gan", models.gan)
        if models.inverse is not None:
            if models.gan is not None:
                self._held_out("gan", models.gan, models.inverse)
            self._stylegan_r(models.inverse, self._world("world", models.inverse, cameras))
        if models.oracle is not None and models.world is not None:
            self._views("oracle", models.world)
            self._held_out("oracle", models.world, models.oracle)
            self._world("oracle", models.oracle, _true_cameras(models.world))
        either = models.inverse or models.oracle
        if either is not None:
            self._photographs(either)

    def report(self) -> Report:
        """What the page shows."""
        return Report(dict(self.scores), tuple(self.figures), tuple(self.downloads), tuple(self.notes))

    def _add(self, part: str, scores: dict[str, Score]) -> None:
        self.scores |= {f"{part}/{name}": score for name, score in scores.items() if f"{part}/{name}" in CATALOG}

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        start = time.monotonic()
        with self.console.status(f"{what} ..."):
            yield
        self.console.print(f"{what}: {time.monotonic() - start:.0f} s")

    def _views(self, part: str, source: Source) -> Cameras | None:
        """Aligned views and, with a pose regressor, how well view and content are kept apart."""
        settings, pose, generator = self.settings, self.models.pose, source.generator
        # The car world makes its pictures on the CPU whatever the device.
        device = "cpu" if isinstance(generator, CarWorldGenerator) else settings.device
        if self.draws:
            objects, name = settings.figure_objects, f"{part}-views"
            self.figures.append(aligned_views(name, source, objects, settings.seed, device=device))
        if pose is None:
            return None
        with self._timed(f"{part}: view codes"):
            objects = settings.identity_objects
            grid = read_grid(
                generator, source.codes, pose.to(device), objects=objects, seed=settings.seed, batch=2 * settings.batch
            )
            pose.to(settings.device)
            self._add(part, identity_scores(grid, source.codes))
            return measured_cameras(grid)

    def _held_out(self, part: str, source: Source, model: InverseModel) -> None:
        if source.masker is None and source.shards is None and not isinstance(source.generator, CarWorldGenerator):
            self.notes.append(f"{part}: no segmenter was given, so held-out objects were not measured")
            return
        settings = self.settings
        samples = held_out_samples(source, settings, views=2)
        if source.shards is not None:
            self.notes.append(
                f"{part}: held-out objects are the last {samples.count} samples of {source.shards.folder}"
            )
        if samples.count == 0:
            return
        with self._timed(f"{part}: held-out objects"):
            perceptual = PerceptualDistance().to(settings.device)
            self._add(part, HeldOutObjects(source, model, perceptual, settings).scores())
        if not self.draws:
            return
        batch = samples.draw(torch.arange(min(settings.figure_objects, samples.count))).to(settings.device)
        self.figures.append(reconstructions(f"{part}-reconstructions", model, batch))
        with torch.no_grad():
            seen = model.network(batch.images[:, 0])
        for i in range(len(batch)):
            mesh = model.network.template.with_vertices(seen.vertices[i : i + 1])
            self.downloads.append(Download(f"{part}-{i + 1}.glb", glb_bytes(mesh, seen.texture[i])))

    def _world(self, part: str, model: InverseModel, cameras: Cameras | None) -> Alignment:
        settings, world = self.settings, CarWorldGenerator(model.network.config.resolution)
        if settings.world_objects == 0:
            return Alignment()
        with self._timed(f"{part}: 3D truth"):
            alignment = calibrate(world, model, cameras, settings)
            found = WorldTruth(world, model, alignment, cameras, settings).measure()
            self._add(part, found.scores)
        self.notes.append(f"{part}: alignment to the true world: {alignment}")
        if self.draws:
            batch = world_batch(world, settings.seed, torch.arange(settings.figure_objects), settings.device)
            network, rows = model.network, settings.sheet_objects
            self.figures.append(world_reconstructions(f"{part}-truth", network, alignment, batch))
            sheet = world_sheet(f"{part}-sheet", network, alignment, settings.seed, found.iou_3d, rows, settings.device)
            self.figures.append(sheet)
        return alignment

    def _photographs(self, model: InverseModel) -> None:
        photographs, network = self.settings.photographs, model.network
        refinement = RefinementSettings(steps=photographs.refine) if photographs.refine else None
        rows = self.settings.figure_objects
        if photographs.pascal3d is not None:
            with self._timed("pascal3d: test split"):
                data = Pascal3D(photographs.pascal3d, photographs.category, photographs.pascal3d_masks)
                self._add("pascal3d", pascal3d_scores(data, network, refinement))
            if self.draws:
                shown = data.objects[:rows]
                names = [one.name for one in shown]
                self.figures.append(photo_sheet("pascal3d-sheet", network, [data.load(one) for one in shown], names))
        if photographs.folder is not None:
            folder = PhotoFolder(photographs.folder, photographs.masks)
            if photographs.masks is not None:
                with self._timed("photos"):
                    self._add("photos", folder_scores(folder, network, refinement))
            if self.draws:
                gan = self.models.gan
                masker = (gan and gan.masker) or Segmenter.from_pretrained().to(self.settings.device)
                files = folder.files[:rows]
                found = [folder.load(path, masker, self.settings.device) for path in files]
                self.figures.append(photo_sheet("photos-sheet", network, found, [path.stem for path in files]))

    def _stylegan_r(self, model: InverseModel, alignment: Alignment) -> None:
        models, settings = self.models, self.settings
        if models.renderer is None:
            return
        if models.gan is None or models.gan.masker is None or models.pose is None:
            self.notes.append("stylegan_r: needs generator, view codes, segmenter and pose regressor; not measured")
            return
        studio = Studio(models.renderer, models.gan, model, models.pose, models.gan.masker, alignment)
        with self._timed("stylegan_r: camera and swaps"):
            self._add("stylegan_r", control(studio, settings))
        if self.draws:
            drawn = models.gan.sampler(settings.seed, 1).draw(torch.arange(settings.figure_objects))
            batch = drawn.batch.to(settings.device)
            self.figures += control_figures(studio, batch) + more_control_figures(studio, batch)
        if settings.edited_pictures and settings.world_objects:
            self._edits(studio)

    def _edits(self, studio: Studio) -> None:
        settings, world = self.settings, CarWorldGenerator(studio.model.network.config.resolution)
        with self._timed("edits: real pictures"):
            batch = world_batch(world, settings.seed + 2, torch.arange(settings.edited_pictures), settings.device)
            perceptual = PerceptualDistance().to(settings.device)
            descent = DescentSettings(steps=settings.edit_steps)
            masks = studio.masker(batch.images[:, 0]).foreground
            report = edit_pictures(studio, batch.images[:, 0], masks, perceptual, descent)
            self._add("edits", edit_scores(report, studio, perceptual))
        if self.draws:
            self.figures.append(edit_figure(studio, report))


def _true_cameras(source: Source) -> Cameras:
    """Of the car world's view codes."""
    world = source.generator
    assert isinstance(world, CarWorldGenerator)
    views = view_styles(world, source.codes)
    return world.cameras(torch.nn.functional.pad(views, (0, sum(world.style_sizes) - views.shape[1])))
