"""Stage 3: trains StyleGAN-R from the frozen generator, inverse network and segmenter (paper, section 4)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities.seed import reset_seed
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from ganverse.batch import MultiViewBatch
from ganverse.data.sources import Source, SourceSettings, open_source, segmenter_path
from ganverse.devices import upload
from ganverse.distributed import all_gather, processes
from ganverse.errors import GanverseError
from ganverse.inverse.perceptual import PerceptualDistance, PerceptualWeights, check_size
from ganverse.inverse.weights import load_inverse
from ganverse.masks.segmenter import Segmenter
from ganverse.neural_renderer.controls import jittered
from ganverse.neural_renderer.found_views import CAMERA_NUMBERS, FoundViews, find_views, under_found_views
from ganverse.neural_renderer.mapping import DEFAULT_MAPPING, MappingSettings
from ganverse.neural_renderer.objective import DEFAULT_WEIGHTS, DisentangleWeights, cycle_terms, mapping_terms
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scene_swaps import ProcessSlice, SwappedScenes, swap
from ganverse.neural_renderer.settings import DEFAULT_SETTINGS, DisentangleSettings
from ganverse.neural_renderer.training_scenes import FrozenNetworks, TrainingScene, draw_batches, read_training_scene
from ganverse.neural_renderer.weights import StyleGANRCard, described_generator, load_stylegan_r, save_stylegan_r
from ganverse.random_streams import normals, step_seed, uniforms
from ganverse.tasks.base import BaseTask, primitive
from ganverse.tasks.media import disentanglement_media
from ganverse.training.diagnostics import mask_diagnostics, texture_diagnostics
from ganverse.training.media import Medium


class Disentanglement(BaseTask):
    """Warms up the mapping networks on the frozen generator, then fine-tunes everything with cycle losses.

    The generator, its view codes and the segmenter come from the trainer's DataModule or from a checkpoint's
    hyperparameters. They and the inverse network stay frozen, outside checkpoints and DDP's parameters.

    Args:
        inverse: weights of the inverse network and its cameras (see `find_weights`), trained on the same generator.
        settings: schedule, learning rates and training scenes.
        losses: weights of the loss terms.
        mapping: sizes of the mapping networks.
        start: weights of a StyleGAN-R with the same generator and sizes to continue from.
        ema_half_life: half-life of the running average of the weights, in images; 0 disables it.
        source: generator, view codes and segmenter. Default: those of the data.
        perceptual: weights of the perceptual network.
    """

    has_idle_parameters = True  # the generator gets no gradient during the warm-up

    renderer: StyleGANR
    networks: FrozenNetworks
    found_styles: Tensor
    found_cameras: Tensor
    found_weights: Tensor

    def __init__(
        self,
        inverse: str = "car",
        settings: DisentangleSettings = DEFAULT_SETTINGS,
        losses: DisentangleWeights = DEFAULT_WEIGHTS,
        mapping: MappingSettings = DEFAULT_MAPPING,
        start: str | None = None,
        ema_half_life: float = 500.0,
        source: SourceSettings | None = None,
        perceptual: PerceptualWeights = "stlpips",
    ) -> None:
        super().__init__(settings.images, ema_half_life)
        self.save_settings()
        self.settings, self.weights, self.mapping, self.perceptual = settings, losses, mapping, perceptual
        self.inverse = load_inverse(inverse)
        self.start = None if start is None else load_stylegan_r(start)
        self.calibrated = self.start is not None
        self.spread_restored = False
        self._diagnostics: dict[str, Tensor] = {}
        if source is not None:
            self._build(open_source(source))

    @property
    def needs_views(self) -> bool:
        """As in `BaseTask`."""
        return not hasattr(self, "renderer")

    def configure_model(self) -> None:
        """Builds StyleGAN-R for the generator of the trainer's data, unless the hyperparameters name one."""
        if not self.needs_views:
            return
        reset_seed()  # like DDP, so that the initial weights do not depend on the number of processes
        source = self.data.source
        if source is None:
            raise GanverseError("expected data from a GAN (MultiViewStream), got images without one")
        if source.rerendering is not None:
            raise GanverseError("expected images of the GAN, got those of a StyleGAN-R; omit renderer and reader")
        self.hparams.update(source=primitive(source.settings))
        self._build(source)

    def _build(self, source: Source) -> None:
        described_generator(source.generator)
        card = self.inverse.card
        if card.generator_sha256 != source.sha256 or card.views != len(source.codes):
            raise GanverseError(
                f"expected an inverse network of {source.name} ({source.sha256[:12]}...), {len(source.codes)} views, "
                f"got one of {card.generator} ({card.generator_sha256[:12] or 'no hash'}) with {card.views}; train "
                "InverseGraphics on this generator first"
            )
        side = card.config.resolution
        if source.generator.resolution != side:
            raise GanverseError(
                f"expected images of {side} x {side}, the inverse network's resolution, got "
                f"{source.generator.resolution} x {source.generator.resolution}; set --data.resolution {side}"
            )
        perceptual = None
        if self.weights.distill_perceptual:
            check_size(side, "losses.distill_perceptual")
            perceptual = PerceptualDistance(self.perceptual)
        self.source = source
        self.networks = FrozenNetworks(
            self.inverse.network,
            self.inverse.cameras,
            Segmenter.from_pretrained(segmenter_path(source.settings)),
            perceptual,
            source.generator,
        )
        self.renderer = StyleGANR(
            source.generator,
            source.codes.view_dims,
            vertices=self.networks.inverse.template.vertices.shape[1],
            texture_size=self.networks.inverse.config.texture_size,
            settings=self.mapping,
        )
        candidates = self.settings.found_views.candidates
        self.register_buffer("found_styles", torch.zeros(candidates, len(source.codes.view_dims)))
        self.register_buffer("found_cameras", torch.zeros(candidates, CAMERA_NUMBERS))
        self.register_buffer("found_weights", torch.zeros(candidates))
        if self.start is not None:
            self._begin_at(self.start[0])

    def _begin_at(self, trained: StyleGANR) -> None:
        try:
            self.renderer.load_state_dict(trained.state_dict())
        except RuntimeError as error:
            raise GanverseError(
                f"expected a StyleGAN-R with the same parts as start, got others "
                f"({str(error).splitlines()[-1].strip()}); use the same mapping settings, or omit start"
            ) from error

    @property
    def compilable(self) -> Sequence[nn.Module]:
        """As in `BaseTask`."""
        return self.networks.inverse.encoder, self.networks.inverse.texture.decoder

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """One Adam with five parameter groups, in the order of `DisentangleSettings.rates`."""
        renderer, settings = self.renderer, self.settings
        groups = [
            (list(renderer.camera_mapping.parameters()), settings.mapping_rate),
            (renderer.content_mapping_parameters(), settings.mapping_rate),
            ([renderer.fusion.logits], settings.fusion_rate),
            (renderer.view_correction_parameters(), settings.mapping_rate),
            (renderer.synthesis_parameters(), settings.synthesis_rate),
        ]
        optimizer = torch.optim.Adam([{"params": group, "lr": rate} for group, rate in groups], betas=(0.9, 0.99))
        factors = [
            lambda seen, i=i, rate=rate: settings.rates(seen)[i] / (rate or 1.0) for i, (_, rate) in enumerate(groups)
        ]
        return {"optimizer": optimizer, "lr_scheduler": self.schedule(optimizer, factors)}

    def on_fit_start(self) -> None:
        """Moves frozen networks to the device; computes style and shape statistics and found views unless restored."""
        self.networks.to(self.device)
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
        self.calibrated = True

    def _find_views(self) -> None:
        settings, source = self.settings, self.source
        found = find_views(source.generator, source.codes, self.networks, settings.found_views, settings.seed + 2)
        self.found_styles.copy_(found.styles)
        self.found_cameras.copy_(found.cameras)
        self.found_weights.copy_(found.weights)

    @torch.no_grad()
    def _restore_spread(self, renderer: StyleGANR) -> None:
        """`StyleGANR.restore_spread`: before stage 2, and on the averaged weights at export."""
        with self._float32():
            scenes = self._draw(self.settings.seed + 1)
            predicted = torch.cat([renderer.styles(scene.inputs) for scene in scenes])
        real = torch.cat([scene.styles for scene in scenes])
        renderer.restore_spread(predicted, real, share=self.settings.keep_spread)

    def _draw(self, seed: int) -> list[TrainingScene]:
        """Scenes of one view each, the same on every process: a pure function of the seed."""
        settings, source = self.settings, self.source
        batches = draw_batches(source.generator, source.codes, self.networks, settings.calibration_images, seed)
        return [read_training_scene(batch, self.networks, fill=settings.fill_background) for batch in batches]

    @property
    def warming_up(self) -> bool:
        """Whether the next step belongs to stage 1 (warm-up)."""
        return self.images_seen < self.settings.warm_up_images

    def observe(self, batch: MultiViewBatch, views: int | None = None) -> TrainingScene:
        """`read_training_scene` with this module's networks and settings; views: number of views read per object."""
        settings = self.settings
        own = settings.own_texture and not self.warming_up
        return read_training_scene(batch, self.networks, views=views, fill=settings.fill_background, own_texture=own)

    def training_step(self, batch: MultiViewBatch, batch_idx: int) -> Tensor:
        """Loss of the current stage on one batch."""
        if self.settings.keep_spread and not self.warming_up and not self.spread_restored:
            self._restore_spread(self.renderer)
            self.spread_restored = True
        terms = self.loss_terms(batch)
        loss = self.weights.total(terms)
        self._log_step(terms, loss)
        self.count_images(batch.view_ids.numel())
        return loss

    def validation_step(self, batch: MultiViewBatch, batch_idx: int) -> None:
        """On held-out objects under annotated cameras: L1 of the object to the GAN's image, and silhouettes."""
        scene = self.observe(batch.to(self.device), views=1)
        images = self.renderer.framing.apply(self.renderer.render(scene.inputs))
        masks = self.networks.segmenter.probability(images)
        union = torch.maximum(masks, scene.masks).sum().clamp_min(1e-6)
        values = {
            "val/l1": (images - scene.composite()).abs().mean(),
            "val/iou": torch.minimum(masks, scene.masks).sum() / union,
        }
        self.log_dict(values, batch_size=len(batch), sync_dist=True)

    def test_step(self, batch: MultiViewBatch, batch_idx: int) -> None:
        """Same as validation."""
        self.validation_step(batch, batch_idx)

    def loss_terms(self, batch: MultiViewBatch) -> dict[str, Tensor]:
        """Unweighted, unreduced loss terms of the current stage, by name."""
        if self.warming_up:
            return self._mapping_terms(self._under_found_views(self.observe(batch)))
        return self._cycle_terms(self._under_found_views(self.observe(batch, views=1)))

    def _under_found_views(self, scene: TrainingScene) -> TrainingScene:
        """Replaces the annotated views of some scenes by found views."""
        settings = self.settings
        if not settings.found_views.candidates:
            return scene
        return under_found_views(
            scene,
            FoundViews(self.found_styles, self.found_cameras, self.found_weights),
            self.source.generator,
            self.source.codes,
            self.networks,
            uniforms(step_seed(self._seed(), 1), scene.keys, 2),
            share=settings.found_views.share,
            own_texture=settings.own_texture and not self.warming_up,
        )

    def _mapping_terms(self, scene: TrainingScene) -> dict[str, Tensor]:
        """Stage 1, with jittered cameras."""
        noise = upload(normals(self._seed(), scene.keys, 5), self.device)
        with self._float32():
            table = self.networks.cameras.all()
            cameras = jittered(scene.inputs.cameras, table, noise, self.settings.camera_jitter)
        return mapping_terms(self.renderer, scene.seen_from(cameras))

    def _cycle_terms(self, scene: TrainingScene) -> dict[str, Tensor]:
        """Stage 2, with one swapped copy of every scene."""
        result = cycle_terms(self.renderer, self.networks, scene, self._swap(scene), self.weights, self.settings)
        self._diagnostics = mask_diagnostics(result.masks) | texture_diagnostics(result.texture[: len(scene)])
        return result.terms

    def _swap(self, scene: TrainingScene) -> SwappedScenes:
        own = ProcessSlice(len(scene), self.global_rank, processes(), all_gather)
        chance = upload(uniforms(self._seed(), scene.keys, 5), self.device)
        with self._float32():
            return swap(scene, self.networks.cameras.all(), chance, own)

    def _float32(self) -> torch.autocast:
        """Disables autocast: bfloat16 loses degrees in angles, and precision in distances."""
        return torch.autocast(self.device.type, enabled=False)

    def _seed(self) -> int:
        """Seed of this step's randomness, equal on all processes: a pure function of the seed and the images seen."""
        return step_seed(self.settings.seed, self.images_seen)

    def _log_step(self, terms: Mapping[str, Tensor], loss: Tensor) -> None:
        values = {f"loss/{name}": value.detach().mean() for name, value in terms.items()}
        shares = zip(("shape", "texture", "background"), self.renderer.fusion.shares(), strict=True)
        values |= {f"fusion/{name}": share for name, share in shares}
        total = loss.detach()
        self.log_step({**values, **self._diagnostics, "loss/total": total}, bar={"loss": total})

    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of the data and of the frozen networks."""
        networks = self.networks.fingerprints() if hasattr(self, "networks") else {}
        start = {} if self.start is None else {"start": self.start[1].sha256}
        return super().fingerprints() | networks | start

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Saves what is computed once at the start of training."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["calibrated"], checkpoint["spread_restored"] = self.calibrated, self.spread_restored

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores what `on_save_checkpoint` saved."""
        super().on_load_checkpoint(checkpoint)
        self.calibrated, self.spread_restored = checkpoint["calibrated"], checkpoint["spread_restored"]

    def sample_media(self, batch: MultiViewBatch | None) -> Mapping[str, Medium]:
        """See `disentanglement_media`."""
        if batch is None:
            return {}
        scene = self.observe(batch.to(self.device))[: len(batch)]
        return disentanglement_media(self.renderer, self.networks, scene)

    def save_pretrained(self, path: Path) -> StyleGANRCard:
        """Writes the weights (.safetensors) and their card, for `StyleGANR.from_pretrained`."""
        renderer, source = copy.deepcopy(self.renderer), self.source
        if self.settings.keep_spread:
            self.networks.to(self.device)
            self._restore_spread(renderer)
        generator, content_directions = described_generator(source.generator)
        card = StyleGANRCard(
            generator=generator,
            content_directions=content_directions,
            resolution=renderer.framing.resolution,
            view_dims=source.codes.view_dims,
            vertices=self.networks.inverse.template.vertices.shape[1],
            texture_size=self.networks.inverse.config.texture_size,
            mapping=self.mapping,
            generator_sha256=source.sha256,
            inverse_sha256=self.inverse.card.sha256,
            images_seen=self.images_seen,
            seed=self.settings.seed,
            license=source.license,
            perceptual="" if self.networks.perceptual is None else self.networks.perceptual.name,
        )
        return save_stylegan_r(renderer, path, card)
