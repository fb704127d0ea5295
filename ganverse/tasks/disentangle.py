"""Stage 3: trains StyleGAN-R from the frozen generator, inverse network and segmenter (paper, section 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.generators.protocol import ImageGenerator
from ganverse.neural_renderer import losses
from ganverse.neural_renderer.backgrounds import remove_object, seen_behind
from ganverse.neural_renderer.controls import jittered
from ganverse.neural_renderer.losses import DEFAULT_WEIGHTS, DisentangleWeights
from ganverse.neural_renderer.mapping import DEFAULT_MAPPING, MappingSettings
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes, joined
from ganverse.rendering.render import Silhouette, render
from ganverse.tasks.disentangle_lessons import Lesson, read_lesson
from ganverse.tasks.disentangle_swaps import Place, Swapped, swap
from ganverse.tasks.disentangle_teachers import Teachers
from ganverse.tasks.gathering import gathered, processes
from ganverse.tasks.step_draws import normals, step_seed, uniforms
from ganverse.tasks.vitals import mask_vitals, texture_vitals
from ganverse.viewpoints.anchoring import anchor_of, content_styles, draws_per_object
from ganverse.viewpoints.view_codes import ViewCodes, compose, view_styles


@dataclass(frozen=True)
class DisentangleSettings:
    """Schedule and rates. Numbers of images count pictures of the stream, over all processes.

    warm_up_images: stage 1, generator frozen (paper: 700 iterations of 16). fine_tune_images: stage 2 (2500 of 16).
    mapping_rate, fusion_rate: Adam's, in stage 1; in stage 2 times fine_tune_factor. synthesis_rate: of the generator
    in stage 2. Both stages end along a cosine to 0. The paper's 1e-5 throughout is for 512 px and hundreds of GPU
    minutes.
    camera_jitter: noise on elevation, log distance and offset of the cameras that g_v learns from in stage 1, as a
    share of their spread; azimuth_jitter_degrees: on the azimuth (see `controls.jittered`).
    grow, fill_background: see `remove_object`. silhouette: of the DIB-R render in the camera cycle.
    calibration_images: pictures from which the statistics of styles and shapes are taken before the first step.
    """

    warm_up_images: int = 11_200
    fine_tune_images: int = 40_000
    mapping_rate: float = 1e-3
    fusion_rate: float = 2e-2
    synthesis_rate: float = 2e-4
    fine_tune_factor: float = 0.5
    camera_jitter: float = 0.7
    azimuth_jitter_degrees: float = 3.0
    calibration_images: int = 256
    grow: int = 2
    fill_background: bool = True
    silhouette: Silhouette = field(default_factory=Silhouette)
    seed: int = 0

    @property
    def images(self) -> int:
        """Pictures of the whole training."""
        return self.warm_up_images + self.fine_tune_images

    def rates(self, images_seen: int) -> tuple[float, float, float, float]:
        """Learning rates of the optimiser's four groups after so many images."""
        if images_seen < self.warm_up_images:
            factor = _cosine(images_seen / self.warm_up_images)
            return self.mapping_rate * factor, self.fusion_rate, 0.0, 0.0
        factor = _cosine((images_seen - self.warm_up_images) / max(self.fine_tune_images, 1))
        slow = self.fine_tune_factor * factor
        return (
            self.mapping_rate * slow,
            self.fusion_rate * slow,
            self.mapping_rate * factor,
            self.synthesis_rate * factor,
        )


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


class DisentangleTask(pl.LightningModule):
    """Warm-up of the mapping networks on the frozen generator, then fine-tuning of everything with cycle losses.

    generator: copied, the copy is fine-tuned. codes: the view codes whose cameras `teachers.cameras` holds.
    A `stopping.Budget` of `settings.images` ends the training.
    """

    images_seen: Tensor
    calibrated: Tensor

    def __init__(
        self,
        generator: ImageGenerator,
        codes: ViewCodes,
        teachers: Teachers,
        settings: DisentangleSettings = DisentangleSettings(),
        weights: DisentangleWeights = DEFAULT_WEIGHTS,
        mapping: MappingSettings = DEFAULT_MAPPING,
    ) -> None:
        super().__init__()
        codes.check(generator)
        self.codes, self.teachers, self.settings, self.weights = codes, teachers, settings, weights
        self.renderer = StyleGANR(
            generator,
            codes.view_dims,
            vertices=teachers.inverse.template.vertices.shape[1],
            texture_size=teachers.inverse.config.texture_size,
            settings=mapping,
        )
        self._vitals: dict[str, Tensor] = {}  # of the last fine-tuning step, for `sentinels.ALARMS`
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("calibrated", torch.zeros((), dtype=torch.bool))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One Adam with four groups: mapping networks, fusion, corrections of the view, synthesis."""
        settings, renderer = self.settings, self.renderer
        groups = [
            {"params": renderer.mapping_parameters(), "lr": settings.mapping_rate},
            {"params": [renderer.fusion.logits], "lr": settings.fusion_rate},
            {"params": renderer.view_correction_parameters(), "lr": settings.mapping_rate},
            {"params": renderer.synthesis_parameters(), "lr": settings.synthesis_rate},
        ]
        return torch.optim.Adam(groups, betas=(0.9, 0.99))

    def on_fit_start(self) -> None:
        """Teachers to the device; statistics of styles and shapes, unless a checkpoint brought them."""
        self.teachers.to(self.device)
        if not self.calibrated:
            self._calibrate()

    @torch.no_grad()
    def _calibrate(self) -> None:
        count, generator, dims = self.settings.calibration_images, self.renderer.generator, self.codes.view_dims
        source = torch.Generator().manual_seed(self.settings.seed)
        anchor = anchor_of(generator, self.codes, device=self.device)
        z = torch.randn(count, draws_per_object(anchor), generator.z_dim, generator=source).to(self.device)
        views = view_styles(generator, self.codes, device=self.device)
        view_ids = torch.arange(count, device=self.device) % len(views)
        styles = compose(content_styles(generator, z, dims, anchor), views[view_ids], dims)
        chunks = [self.teachers.inverse(generator.synthesize(chunk)).vertices for chunk in styles.split(32)]
        self.renderer.calibrate(styles, self.teachers.cameras.all(), torch.cat(chunks))
        self.calibrated.fill_(True)

    @property
    def warming_up(self) -> bool:
        """Whether the next step belongs to stage 1."""
        return int(self.images_seen) < self.settings.warm_up_images

    def observe(self, batch: MultiViewBatch, views: int | None = None) -> Lesson:
        """`read_lesson` with this run's teachers and settings; views: how many of each object's views are read."""
        settings = self.settings
        return read_lesson(batch, self.teachers, views=views, grow=settings.grow, fill=settings.fill_background)

    def training_step(self, batch: MultiViewBatch, batch_index: int) -> Tensor:
        """The loss of the current stage on one batch."""
        self._set_rates()
        terms = self.loss_terms(batch)
        loss = self._weighted(terms)
        self._report(terms, loss)
        self.images_seen += batch.view_ids.numel() * self.trainer.world_size
        return loss

    def loss_terms(self, batch: MultiViewBatch) -> dict[str, Tensor]:
        """The terms of the current stage by name, before weighting and un-reduced."""
        if self.warming_up:
            return self.mapping_terms(self.observe(batch))
        return self.cycle_terms(self.observe(batch, views=1))

    def mapping_terms(self, lesson: Lesson) -> dict[str, Tensor]:
        """Stage 1, L_mapnet, in standard deviations of the styles."""
        noise = normals(self._seed(), lesson.keys, 5)
        settings, table = self.settings, self.teachers.cameras.all()
        cameras = jittered(lesson.scenes.cameras, table, noise, settings.camera_jitter, settings.azimuth_jitter_degrees)
        lesson = replace(lesson, scenes=lesson.scenes.seen_from(cameras))
        return {"mapping": self._style_distance(lesson), "entropy": self.renderer.fusion.entropy()}

    def cycle_terms(self, lesson: Lesson) -> dict[str, Tensor]:
        """Stage 2: un-swapped scenes and as many swapped ones under new cameras, all read again by the teachers."""
        weights, made = self.weights, self._swap(lesson)
        scenes = joined(lesson.scenes, made.scenes)
        images = self.renderer.render(scenes)
        masks = self.teachers.segmenter(images)
        terms = self._reread_terms(scenes, images, masks, made.kept)
        if weights.behind:
            behind, visible = torch.cat([lesson.behind, made.behind]), torch.cat([lesson.visible, made.visible])
            outside = visible * seen_behind(masks, grow=self.settings.grow)
            terms["behind"] = losses.color_distance(images, behind, outside)
        own, target = images[: len(lesson.images)], lesson.composite() if weights.behind else lesson.images
        if weights.distill_l1:
            terms["distill_l1"] = (own - target).abs().mean(dim=(1, 2, 3))
        if weights.distill_perceptual and self.teachers.perceptual is not None:
            terms["distill_perceptual"] = self.teachers.perceptual(own, target)
        if weights.anchor:
            terms["anchor"] = self._style_distance(lesson)
        if weights.entropy:
            terms["entropy"] = self.renderer.fusion.entropy()
        return terms

    def _reread_terms(
        self,
        scenes: Scenes,
        images: Float[Tensor, "batch 3 height width"],
        mask: Float[Tensor, "batch 1 height width"],
        kept: Bool[Tensor, " pairs"],
    ) -> dict[str, Tensor]:
        """What the frozen teachers find in the synthesised images, against what was asked for.

        The second half are the first half's swapped twins; `kept`: which of these have the same camera and background.
        """
        inverse, weights, settings = self.teachers.inverse, self.weights, self.settings
        again = inverse(images)
        terms = {
            "shape": losses.shape_distance(scenes.vertices, again.vertices),
            "texture": losses.texture_distance(scenes.texture, again.texture),
            "view": losses.view_distance(scenes.cameras, again.camera),
        }
        self._vitals = {**mask_vitals(mask), **texture_vitals(again.texture[: len(again.texture) // 2])}
        if weights.background or weights.shared_background:
            emptied = remove_object(images, mask, grow=settings.grow, fill=settings.fill_background)
            code = self.renderer.background_code(emptied)
            asked = self.renderer.background_code(scenes.background)
            terms["background"] = losses.code_distance(asked, code)
            own, swapped = code.chunk(2)
            # Twice those of every second pair, so that a mean over all of them is that over those with one camera.
            terms["shared_background"] = 2 * losses.code_distance(own, swapped) * kept
        if weights.camera or weights.appearance:
            mesh = inverse.template.with_vertices(scenes.vertices)
            size = images.shape[-1]
            drawn = render(mesh, scenes.texture, scenes.cameras, size=size, silhouette=settings.silhouette)
            terms["camera"] = losses.silhouette_distance(drawn.alpha, mask)
            inside = (drawn.face_index >= 0)[:, None] * mask.detach()
            terms["appearance"] = losses.color_distance(images, drawn.rgb, inside)
        return terms

    def _swap(self, lesson: Lesson) -> Swapped:
        """Twins of the lesson's scenes with shapes and textures of others (see `disentangle_swaps`)."""
        place = Place(len(lesson.scenes), self.global_rank, processes(), gathered)
        chance = uniforms(self._seed(), lesson.keys, 4)
        return swap(lesson, self.teachers.cameras.all(), chance, place)

    def _style_distance(self, lesson: Lesson) -> Float[Tensor, " batch"]:
        scenes, standardise = lesson.scenes, self.renderer.standardise
        styles = self.renderer.styles(scenes.cameras, scenes.vertices, scenes.texture, scenes.background)
        return losses.mapping_distance(standardise(styles), standardise(lesson.styles))

    def _weighted(self, terms: dict[str, Tensor]) -> Float[Tensor, ""]:
        """The one visible sum; every weight is named like its term."""
        total = self.renderer.mean.new_zeros(())
        for name, value in terms.items():
            total = total + getattr(self.weights, name) * value.mean()
        return total

    def _seed(self) -> int:
        """Of this step's randomness, on every process: a pure function of the seed and the images seen."""
        return step_seed(self.settings.seed, int(self.images_seen))

    def _set_rates(self) -> None:
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        for group, rate in zip(optimizer.param_groups, self.settings.rates(int(self.images_seen)), strict=True):
            group["lr"] = rate

    def _report(self, terms: dict[str, Tensor], loss: Tensor) -> None:
        values = {f"loss/{name}": value.detach().mean() for name, value in terms.items()}
        shares = zip(("shape", "texture", "background"), self.renderer.fusion.shares(), strict=True)
        fusion = {f"fusion/{name}": share for name, share in shares}
        images = self.images_seen.float()
        self.log_dict({**values, **fusion, **self._vitals, "loss/total": loss.detach(), "images": images}, batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Name the teachers; they themselves stay out."""
        checkpoint["teachers"] = self.teachers.fingerprints()

    def on_load_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Refuse other teachers than those this run began with."""
        teachers = checkpoint.get("teachers", {})
        assert isinstance(teachers, dict)
        self.teachers.check(teachers)
