"""Stage 3: trains StyleGAN-R from the frozen generator, inverse network and segmenter (paper, section 4)."""

from __future__ import annotations

from dataclasses import replace

import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ganverse.data.batch import MultiViewBatch
from ganverse.distributed import all_gather, processes
from ganverse.generators.protocol import ImageGenerator
from ganverse.neural_renderer import losses
from ganverse.neural_renderer.backgrounds import remove_object, seen_behind
from ganverse.neural_renderer.controls import jittered
from ganverse.neural_renderer.critic import game, make_critic
from ganverse.neural_renderer.found_views import CAMERA_NUMBERS, FoundViews, find_views, under_found_views
from ganverse.neural_renderer.frozen_networks import FrozenNetworks
from ganverse.neural_renderer.losses import DEFAULT_WEIGHTS, DisentangleWeights
from ganverse.neural_renderer.mapping import DEFAULT_MAPPING, MappingSettings
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scene_swaps import Place, Swapped, swap
from ganverse.neural_renderer.scenes import Scenes, joined
from ganverse.neural_renderer.settings import DEFAULT_SETTINGS, DisentangleSettings
from ganverse.neural_renderer.training_scenes import Lesson, drawn_batches, read_lesson
from ganverse.random_streams import normals, step_seed, uniforms
from ganverse.rendering.render import render
from ganverse.training.vitals import mask_vitals, texture_vitals
from ganverse.viewpoints.view_codes import ViewCodes


class DisentangleTask(pl.LightningModule):
    """Warm-up of the mapping networks on the frozen generator, then fine-tuning of everything with cycle losses.

    generator: copied, the copy is fine-tuned. codes: the view codes whose cameras `teachers.cameras` holds.
    A `stopping.Budget` of `settings.images` ends the training.
    """

    images_seen: Tensor
    calibrated: Tensor
    restored: Tensor
    found_styles: Tensor
    found_cameras: Tensor
    found_weights: Tensor

    def __init__(
        self,
        generator: ImageGenerator,
        codes: ViewCodes,
        teachers: FrozenNetworks,
        settings: DisentangleSettings = DEFAULT_SETTINGS,
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
        self._frozen = (generator,)  # in a tuple, for it is no part of this module
        eyes = teachers.eyes if weights.adversarial else None
        self.critic = None if eyes is None else make_critic(eyes, settings.critic)
        self._vitals: dict[str, Tensor] = {}  # of the last fine-tuning step, for `sentinels.ALARMS`
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("calibrated", torch.zeros((), dtype=torch.bool))
        self.register_buffer("restored", torch.zeros((), dtype=torch.bool))
        candidates = settings.found_views.candidates
        self.register_buffer("found_styles", torch.zeros(candidates, len(codes.view_dims)))
        self.register_buffer("found_cameras", torch.zeros(candidates, CAMERA_NUMBERS))
        self.register_buffer("found_weights", torch.zeros(candidates))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One Adam with six groups: g_v; g_s, g_t and g_b; fusion; corrections of the view; synthesis; critic."""
        settings, renderer = self.settings, self.renderer
        groups = [
            {"params": list(renderer.camera_mapping.parameters()), "lr": settings.mapping_rate},
            {"params": renderer.content_mapping_parameters(), "lr": settings.mapping_rate},
            {"params": [renderer.fusion.logits], "lr": settings.fusion_rate},
            {"params": renderer.view_correction_parameters(), "lr": settings.mapping_rate},
            {"params": renderer.synthesis_parameters(), "lr": settings.synthesis_rate},
            {"params": [] if self.critic is None else list(self.critic.parameters()), "lr": settings.critic.rate},
        ]
        return torch.optim.Adam(groups, betas=(0.9, 0.99))

    def on_fit_start(self) -> None:
        """FrozenNetworks to the device; found views, statistics of styles and shapes, unless a checkpoint brought them."""
        self.teachers.to(self.device)
        frozen = self._frozen[0]
        assert isinstance(frozen, nn.Module)
        frozen.to(self.device)
        if not self.calibrated:
            self._calibrate()
        if self.settings.found_views.candidates and not self.found_weights.any():
            self._find_views()

    @torch.no_grad()
    def _calibrate(self) -> None:
        lessons = self._drawn(self.settings.seed)
        styles = torch.cat([lesson.styles for lesson in lessons])
        vertices = torch.cat([lesson.scenes.vertices for lesson in lessons])
        self.renderer.calibrate(styles, self.teachers.cameras.all(), vertices)
        self.calibrated.fill_(True)

    def _find_views(self) -> None:
        settings = self.settings
        found = find_views(self._frozen[0], self.codes, self.teachers, settings.found_views, settings.seed + 2)
        self.found_styles.copy_(found.styles)
        self.found_cameras.copy_(found.cameras)
        self.found_weights.copy_(found.weights)

    @torch.no_grad()
    def restore_spread(self) -> None:
        """`StyleGANR.restore_spread`, before stage 2, and on the averaged weights when the training has ended."""
        with torch.autocast(self.device.type, enabled=False):
            lessons = self._drawn(self.settings.seed + 1)
            said = torch.cat([self.renderer.styles_of(lesson.scenes) for lesson in lessons])
        real = torch.cat([lesson.styles for lesson in lessons])
        self.renderer.restore_spread(said, real, share=self.settings.keep_spread)
        self.restored.fill_(True)

    def _drawn(self, seed: int) -> list[Lesson]:
        """Lessons of one view each, the same on every process: a pure function of the seed."""
        settings = self.settings
        batches = drawn_batches(self._frozen[0], self.codes, self.teachers, settings.calibration_images, seed)
        fill = settings.fill_background
        return [read_lesson(batch, self.teachers, grow=settings.grow, fill=fill) for batch in batches]

    @property
    def warming_up(self) -> bool:
        """Whether the next step belongs to stage 1."""
        return int(self.images_seen) < self.settings.warm_up_images

    def observe(self, batch: MultiViewBatch, views: int | None = None) -> Lesson:
        """`read_lesson` with this run's teachers and settings; views: how many of each object's views are read."""
        settings = self.settings
        own = settings.own_texture and not self.warming_up
        return read_lesson(
            batch, self.teachers, views=views, grow=settings.grow, fill=settings.fill_background, own_texture=own
        )

    def training_step(self, batch: MultiViewBatch, batch_index: int) -> Tensor:
        """The loss of the current stage on one batch."""
        self._set_rates()
        if self.settings.keep_spread and not self.warming_up and not self.restored:
            self.restore_spread()
        terms = self.loss_terms(batch)
        loss = self._weighted(terms)
        self._report(terms, loss)
        self.images_seen += batch.view_ids.numel() * self.trainer.world_size
        return loss

    def loss_terms(self, batch: MultiViewBatch) -> dict[str, Tensor]:
        """The terms of the current stage by name, before weighting and un-reduced."""
        if self.warming_up:
            return self.mapping_terms(self._under_found_views(self.observe(batch)))
        return self.cycle_terms(self._under_found_views(self.observe(batch, views=1)))

    def _under_found_views(self, lesson: Lesson) -> Lesson:
        """Some of the scenes asked for under views that nobody annotated (see `disentangle_views`)."""
        settings = self.settings
        if not settings.found_views.candidates:
            return lesson
        return under_found_views(
            lesson,
            FoundViews(self.found_styles, self.found_cameras, self.found_weights),
            self._frozen[0],
            self.codes,
            self.teachers,
            uniforms(step_seed(self._seed(), 1), lesson.keys, 2),
            share=settings.found_views.share,
            own_texture=settings.own_texture and not self.warming_up,
        )

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
        if self.critic is not None:
            terms["adversarial"] = self._play(lesson.images, images)
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
        """What the frozen teachers find in the synthesized images, against what was asked for.

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

    def _play(
        self, real: Float[Tensor, "batch 3 height width"], fake: Float[Tensor, "fakes 3 height width"]
    ) -> Float[Tensor, ""]:
        """Both players' losses in one number; neither's gradient reaches the other."""
        assert self.critic is not None
        assert self.teachers.eyes is not None
        painter, critic = game(self.critic, self.teachers.eyes, real, fake, self.settings.critic.penalty)
        self._vitals |= {"critic/painter": painter.detach().mean(), "critic/loss": critic.detach().mean()}
        return painter.mean() + critic.mean()

    def _swap(self, lesson: Lesson) -> Swapped:
        """Twins of the lesson's scenes with shapes and textures of others (see `disentangle_swaps`)."""
        place = Place(len(lesson.scenes), self.global_rank, processes(), all_gather)
        chance = uniforms(self._seed(), lesson.keys, 5)
        return swap(lesson, self.teachers.cameras.all(), chance, place)

    def _style_distance(self, lesson: Lesson) -> Float[Tensor, " batch"]:
        standardize = self.renderer.standardize
        return losses.mapping_distance(standardize(self.renderer.styles_of(lesson.scenes)), standardize(lesson.styles))

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
