"""Stage 3: trains StyleGAN-R from the frozen generator, inverse network and segmenter (paper, section 4)."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ganverse.data.batch import MultiViewBatch
from ganverse.distributed import all_gather, processes
from ganverse.generators.protocol import ImageGenerator
from ganverse.neural_renderer.controls import jittered
from ganverse.neural_renderer.found_views import CAMERA_NUMBERS, FoundViews, find_views, under_found_views
from ganverse.neural_renderer.frozen_networks import FrozenNetworks
from ganverse.neural_renderer.mapping import DEFAULT_MAPPING, MappingSettings
from ganverse.neural_renderer.objective import DEFAULT_WEIGHTS, DisentangleWeights, cycle_terms, mapping_terms
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scene_swaps import ProcessSlice, SwappedScenes, swap
from ganverse.neural_renderer.settings import DEFAULT_SETTINGS, DisentangleSettings
from ganverse.neural_renderer.training_scenes import TrainingScene, draw_batches, read_training_scene
from ganverse.random_streams import normals, step_seed, uniforms
from ganverse.training.vitals import mask_vitals, texture_vitals
from ganverse.viewpoints.view_codes import ViewCodes


class DisentangleTask(pl.LightningModule):
    """Warm-up of the mapping networks on the frozen generator, then fine-tuning of everything with cycle losses.

    generator: copied, the copy is fine-tuned. codes: the view codes whose cameras `networks.cameras` holds.
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
        networks: FrozenNetworks,
        settings: DisentangleSettings = DEFAULT_SETTINGS,
        weights: DisentangleWeights = DEFAULT_WEIGHTS,
        mapping: MappingSettings = DEFAULT_MAPPING,
    ) -> None:
        super().__init__()
        codes.check(generator)
        self.codes, self.networks, self.settings, self.weights = codes, networks, settings, weights
        self.renderer = StyleGANR(
            generator,
            codes.view_dims,
            vertices=networks.inverse.template.vertices.shape[1],
            texture_size=networks.inverse.config.texture_size,
            settings=mapping,
        )
        self._frozen = (generator,)  # in a tuple, for it is no part of this module
        self._vitals: dict[str, Tensor] = {}  # of the last fine-tuning step, for `sentinels.ALARMS`
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("calibrated", torch.zeros((), dtype=torch.bool))
        self.register_buffer("restored", torch.zeros((), dtype=torch.bool))
        candidates = settings.found_views.candidates
        self.register_buffer("found_styles", torch.zeros(candidates, len(codes.view_dims)))
        self.register_buffer("found_cameras", torch.zeros(candidates, CAMERA_NUMBERS))
        self.register_buffer("found_weights", torch.zeros(candidates))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One Adam with five groups, in the order of `DisentangleSettings.rates`."""
        renderer = self.renderer
        groups = [
            list(renderer.camera_mapping.parameters()),
            renderer.content_mapping_parameters(),
            [renderer.fusion.logits],
            renderer.view_correction_parameters(),
            renderer.synthesis_parameters(),
        ]
        rates = self.settings.rates(0)
        pairs = zip(groups, rates, strict=True)
        return torch.optim.Adam([{"params": group, "lr": rate} for group, rate in pairs], betas=(0.9, 0.99))

    def on_fit_start(self) -> None:
        """Frozen networks to the device; statistics of styles and shapes and found views, unless they were restored."""
        self.networks.to(self.device)
        frozen = self._frozen[0]
        assert isinstance(frozen, nn.Module)
        frozen.to(self.device)
        if not self.calibrated:
            self._calibrate()
        if self.settings.found_views.candidates and not self.found_weights.any():
            self._find_views()

    @torch.no_grad()
    def _calibrate(self) -> None:
        scenes = self._draw(self.settings.seed)
        styles = torch.cat([scene.styles for scene in scenes])
        vertices = torch.cat([scene.inputs.vertices for scene in scenes])
        self.renderer.calibrate(styles, self.networks.cameras.all(), vertices)
        self.calibrated.fill_(True)

    def _find_views(self) -> None:
        settings = self.settings
        found = find_views(self._frozen[0], self.codes, self.networks, settings.found_views, settings.seed + 2)
        self.found_styles.copy_(found.styles)
        self.found_cameras.copy_(found.cameras)
        self.found_weights.copy_(found.weights)

    @torch.no_grad()
    def restore_spread(self) -> None:
        """`StyleGANR.restore_spread`, before stage 2, and on the averaged weights when the training has ended."""
        with torch.autocast(self.device.type, enabled=False):
            scenes = self._draw(self.settings.seed + 1)
            predicted = torch.cat([self.renderer.styles_of(scene.inputs) for scene in scenes])
        real = torch.cat([scene.styles for scene in scenes])
        self.renderer.restore_spread(predicted, real, share=self.settings.keep_spread)
        self.restored.fill_(True)

    def _draw(self, seed: int) -> list[TrainingScene]:
        """Scenes of one view each, the same on every process: a pure function of the seed."""
        settings = self.settings
        batches = draw_batches(self._frozen[0], self.codes, self.networks, settings.calibration_images, seed)
        fill = settings.fill_background
        return [read_training_scene(batch, self.networks, grow=settings.grow, fill=fill) for batch in batches]

    @property
    def warming_up(self) -> bool:
        """Whether the next step belongs to stage 1."""
        return int(self.images_seen) < self.settings.warm_up_images

    def observe(self, batch: MultiViewBatch, views: int | None = None) -> TrainingScene:
        """`read_training_scene` with this task's networks and settings; views: how many of each object's are read."""
        settings = self.settings
        own = settings.own_texture and not self.warming_up
        return read_training_scene(
            batch, self.networks, views=views, grow=settings.grow, fill=settings.fill_background, own_texture=own
        )

    def training_step(self, batch: MultiViewBatch, batch_index: int) -> Tensor:
        """The loss of the current stage on one batch."""
        self._set_rates()
        if self.settings.keep_spread and not self.warming_up and not self.restored:
            self.restore_spread()
        terms = self.loss_terms(batch)
        loss = self.weights.total(terms)
        self._report(terms, loss)
        self.images_seen += batch.view_ids.numel() * self.trainer.world_size
        return loss

    def loss_terms(self, batch: MultiViewBatch) -> dict[str, Tensor]:
        """The terms of the current stage by name, before weighting and unreduced."""
        if self.warming_up:
            return self.mapping_terms(self._under_found_views(self.observe(batch)))
        return self.cycle_terms(self._under_found_views(self.observe(batch, views=1)))

    def _under_found_views(self, scene: TrainingScene) -> TrainingScene:
        """Some of the scenes under found views instead of annotated ones."""
        settings = self.settings
        if not settings.found_views.candidates:
            return scene
        return under_found_views(
            scene,
            FoundViews(self.found_styles, self.found_cameras, self.found_weights),
            self._frozen[0],
            self.codes,
            self.networks,
            uniforms(step_seed(self._seed(), 1), scene.keys, 2),
            share=settings.found_views.share,
            own_texture=settings.own_texture and not self.warming_up,
        )

    def mapping_terms(self, scene: TrainingScene) -> dict[str, Tensor]:
        """Stage 1, under jittered cameras."""
        noise = normals(self._seed(), scene.keys, 5)
        settings, table = self.settings, self.networks.cameras.all()
        cameras = jittered(scene.inputs.cameras, table, noise, settings.camera_jitter, settings.azimuth_jitter_degrees)
        return mapping_terms(self.renderer, scene.seen_from(cameras))

    def cycle_terms(self, scene: TrainingScene) -> dict[str, Tensor]:
        """Stage 2, with one swapped copy of every scene."""
        result = cycle_terms(self.renderer, self.networks, scene, self._swap(scene), self.weights, self.settings)
        self._vitals = {**mask_vitals(result.masks), **texture_vitals(result.texture[: len(scene)])}
        return result.terms

    def _swap(self, scene: TrainingScene) -> SwappedScenes:
        own = ProcessSlice(len(scene), self.global_rank, processes(), all_gather)
        chance = uniforms(self._seed(), scene.keys, 5)
        return swap(scene, self.networks.cameras.all(), chance, own)

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
        """Name the frozen networks; they themselves stay out."""
        checkpoint["networks"] = self.networks.fingerprints()

    def on_load_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Refuse other frozen networks than those this run began with."""
        networks = checkpoint.get("networks", {})
        assert isinstance(networks, dict)
        self.networks.check(networks)
