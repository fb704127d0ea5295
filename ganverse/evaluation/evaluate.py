"""Runs all evaluations that the given models allow: a table, metrics.json, scores.json, and the report page."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from rich.console import Console

from ganverse.data.sources import Source
from ganverse.devices import find_device
from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.catalog import CATALOG
from ganverse.evaluation.control import Studio, control_scores
from ganverse.evaluation.control_figures import control_figures, edit_figure
from ganverse.evaluation.edits import edit_images, edit_scores
from ganverse.evaluation.figures import aligned_views, photo_sheet, reconstructions, world_sheet
from ganverse.evaluation.held_out import HeldOutSamples, held_out_samples, held_out_scores
from ganverse.evaluation.identity import identity_scores, measured_cameras, predict_grid
from ganverse.evaluation.metrics import Score
from ganverse.evaluation.models import ModelPaths, Models, load_models, world_source
from ganverse.evaluation.photographs import Pascal3D, PhotoFolder, reprojection_scores
from ganverse.evaluation.report import Report, summary_table, write_report
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.evaluation.world_truth import calibrate, world_batch, world_scores
from ganverse.export import glb_bytes
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import InverseModel
from ganverse.io import json_bytes
from ganverse.masks.segmenter import Segmenter
from ganverse.neural_renderer.refinement import DescentSettings
from ganverse.reconstruction.refinement import RefinementSettings
from ganverse.viewpoints.view_codes import view_styles
from ganverse.worlds.generator import CarWorldGenerator

METRICS, SCORES = "metrics.json", "scores.json"


def evaluate_models(
    paths: ModelPaths, output: str | Path, settings: EvaluationSettings | None = None
) -> dict[str, float]:
    """Loads and evaluates, prints a table, and writes metrics.json, scores.json and index.html to `output`.

    Returns the contents of metrics.json: flat, `part/name`, without results that these models do not have.

    Raises:
        GanverseError: nothing to evaluate, or models that are missing, damaged or do not belong together.
    """
    settings = settings or EvaluationSettings()
    if not paths.shows_cars:
        settings = replace(settings, world_objects=0)
    models = load_models(paths, find_device(None if settings.device == "auto" else settings.device))
    return evaluate_loaded(models, Path(output), settings)


def evaluate_loaded(
    models: Models, output: Path, settings: EvaluationSettings, *, console: Console | None = None
) -> dict[str, float]:
    """`evaluate_models` for loaded models."""
    console = console or Console()
    evaluation = Evaluation(models, settings, console)
    evaluation.run()
    report, metrics = evaluation.report, published(evaluation.report.scores)
    page = write_report(report, output, {METRICS: json_bytes(metrics), SCORES: json_bytes(evaluation.record())})
    console.print(summary_table(report.scores, console.width))
    for note in report.notes:
        console.print(f"note: {note}")
    console.print(f"report: {page}")
    return metrics


def published(scores: Mapping[str, Score]) -> dict[str, float]:
    """Contents of metrics.json: finite numbers with catalog entries, in the catalog's order."""
    return {key: score.value for key, score in finite(scores).items() if CATALOG[key].published}


def finite(scores: Mapping[str, Score]) -> dict[str, Score]:
    """Finite scores, in the catalog's order."""
    return {key: scores[key] for key in CATALOG if key in scores and math.isfinite(scores[key].value)}


@dataclass
class Evaluation:
    """A running evaluation."""

    models: Models
    settings: EvaluationSettings
    console: Console
    report: Report = field(default_factory=Report)

    def run(self) -> None:
        """Runs all parts that the models allow."""
        models = self.models
        self.report.notes += models.notes
        cameras = None if models.gan is None else self._views("gan", models.gan)
        if models.inverse is not None:
            self._held_out("gan", models.held_out or self._samples(models.gan), models.inverse)
            self._stylegan_r(models.inverse, self._world("world", models.inverse, cameras))
        if models.oracle is not None:
            world = world_source(models.oracle)
            self._views("oracle", world)
            self._held_out("oracle", self._samples(world), models.oracle)
            self._world("oracle", models.oracle, _true_cameras(world))
        either = models.inverse or models.oracle
        if either is not None:
            self._photographs(either)

    def record(self) -> dict[str, object]:
        """Contents of scores.json: all numbers with intervals and counts, and what they depend on."""
        scores = {key: asdict(score) for key, score in finite(self.report.scores).items()}
        measured = any("lpips" in key for key in scores)
        return {"perceptual": self.perceptual.name if measured else None, "scores": scores}

    @cached_property
    def perceptual(self) -> PerceptualDistance:
        """Perceptual distance for all lpips_* numbers."""
        perceptual = PerceptualDistance().to(self.models.device)
        self.report.notes.append(f"lpips_*: weights {perceptual.name}")
        return perceptual

    def _add(self, part: str, scores: Mapping[str, Score]) -> None:
        self.report.scores |= {f"{part}/{name}": score for name, score in scores.items()}

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        start = time.monotonic()
        with self.console.status(f"{what} ..."):
            yield
        self.console.print(f"{what}: {time.monotonic() - start:.0f} s")

    def _samples(self, source: Source | None) -> HeldOutSamples | None:
        settings, views = self.settings, 1 + self.settings.unseen_views
        return None if source is None else held_out_samples(source, settings.seed, settings.held_out_objects, views)

    def _views(self, part: str, source: Source) -> Cameras | None:
        """Aligned views and, with a pose regressor, how well view and content are separated."""
        settings, pose = self.settings, self.models.pose
        if self.settings.figure_objects:
            self.report.figures.append(aligned_views(f"{part}-views", source, settings.figure_objects, settings.seed))
        if pose is None or not settings.identity_objects:
            return None
        with self._timed(f"{part}: view codes"):
            objects, batch = settings.identity_objects, 2 * settings.batch
            grid = predict_grid(source.generator, source.codes, pose, objects=objects, seed=settings.seed, batch=batch)
            self._add(part, identity_scores(grid))
            return measured_cameras(grid)

    def _held_out(self, part: str, samples: HeldOutSamples | None, model: InverseModel) -> None:
        if samples is None or not samples.count:
            return
        with self._timed(f"{part}: held-out objects"):
            self._add(part, held_out_scores(samples, model, self.perceptual, self.settings))
        if not self.settings.figure_objects:
            return
        objects = torch.arange(min(self.settings.figure_objects, samples.count))
        batch = samples.draw(objects).to(self.models.device)
        self.report.figures.append(reconstructions(f"{part}-reconstructions", model, batch))
        with torch.no_grad():
            seen = model.network(batch.images[:, 0])
        for i in range(len(batch)):
            mesh = model.network.template.with_vertices(seen.vertices[i : i + 1])
            self.report.meshes[f"{part}-{i + 1}.glb"] = glb_bytes(mesh, seen.texture[i])

    def _world(self, part: str, model: InverseModel, cameras: Cameras | None) -> Alignment:
        settings, network = self.settings, model.network
        if settings.world_objects == 0:
            return Alignment()
        world = CarWorldGenerator(network.config.resolution)
        cameras = None if cameras is None else cameras.to(self.models.device)
        with self._timed(f"{part}: 3D truth"):
            alignment = calibrate(world, model, cameras, settings)
            scores, iou_3d = world_scores(world, model, alignment, cameras, settings)
            self._add(part, scores)
        self.report.notes.append(f"{part}: alignment to the true world: {alignment}")
        if self.settings.figure_objects:
            self.report.figures.append(world_sheet(f"{part}-sheet", network, alignment, settings.seed, iou_3d))
        return alignment

    def _photographs(self, model: InverseModel) -> None:
        photographs, network, gan = self.settings.photographs, model.network, self.models.gan
        refinement = RefinementSettings(steps=photographs.refine) if photographs.refine else None
        sets: dict[str, Pascal3D | PhotoFolder] = {}
        if photographs.pascal3d is not None:
            sets["pascal3d"] = Pascal3D(photographs.pascal3d, photographs.category, photographs.pascal3d_masks)
        if photographs.folder is not None:
            masker = (gan and gan.masker) or Segmenter.from_pretrained().to(self.models.device)
            sets["photos"] = PhotoFolder(photographs.folder, photographs.masks, masker)
        for part, photos in sets.items():
            if part == "pascal3d" or photographs.masks is not None:
                with self._timed(f"{part}: re-projection"):
                    self._add(part, reprojection_scores(network, len(photos.names), photos.load, refinement))
            if self.settings.figure_objects:
                names = photos.names[: self.settings.figure_objects]
                found = [photos.load(index) for index in range(len(names))]
                self.report.figures.append(photo_sheet(f"{part}-sheet", network, found, names))

    def _stylegan_r(self, model: InverseModel, alignment: Alignment) -> None:
        models, settings = self.models, self.settings
        if models.renderer is None:
            return
        if models.gan is None or models.gan.masker is None or models.pose is None:
            self.report.notes.append(
                "stylegan_r: not measured, needs a generator with a segmenter and a pose regressor"
            )
            return
        studio = Studio(models.renderer, models.gan, model, models.pose, models.gan.masker, alignment)
        if settings.control_objects:
            with self._timed("stylegan_r: camera and swaps"):
                self._add("stylegan_r", control_scores(studio, settings))
        if self.settings.figure_objects:
            samples = held_out_samples(models.gan, settings.seed, settings.figure_objects, views=1)
            batch = samples.draw(torch.arange(samples.count)).to(models.device)
            self.report.figures += control_figures(studio, batch)
        if settings.edited_pictures and settings.world_objects:
            self._edits(studio)

    def _edits(self, studio: Studio) -> None:
        settings, world = self.settings, CarWorldGenerator(studio.model.network.config.resolution)
        with self._timed("edits: real images"):
            cars = torch.arange(settings.edited_pictures)
            images = world_batch(world, settings.seed + 2, cars, self.models.device).images[:, 0]
            masks = studio.masker(images).foreground
            edited = edit_images(studio, images, masks, self.perceptual, DescentSettings(steps=settings.edit_steps))
            self._add("edits", edit_scores(edited, studio, self.perceptual))
        if self.settings.figure_objects:
            self.report.figures.append(edit_figure(studio, edited))


def _true_cameras(source: Source) -> Cameras:
    """Cameras of the car world's view codes."""
    world = source.generator
    assert isinstance(world, CarWorldGenerator)
    views = view_styles(world, source.codes)
    return world.cameras(torch.nn.functional.pad(views, (0, sum(world.style_sizes) - views.shape[1])))
