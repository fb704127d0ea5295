"""StyleGAN-R (paper, section 4): an image GAN as a renderer of (camera, shape, texture, background)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.generators.framing import unframed
from ganverse.generators.protocol import ImageGenerator
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.neural_renderer.mapping import (
    DEFAULT_MAPPING,
    CameraMapping,
    ImageMapping,
    MappingSettings,
    ShapeMapping,
    StyleFusion,
)
from ganverse.neural_renderer.scenes import Scenes, remove_object


class StyleGANR(nn.Module):
    """Mapping networks, style fusion and a fine-tunable copy of a generator.

    g_v predicts the view dimensions of w* from the camera; g_s, g_t and g_b may add corrections in stage 2 (see
    `ShapeMapping` and `ImageMapping`; the paper has none). ALL other dimensions are content, also in the first layers.
    The paper does not say how its other 1904 dimensions are filled; the multi-view data of `viewpoints.mix_styles` keep
    them with the content. Call `calibrate` once on real samples before training.

    Images have the generator's size and aspect ratio. Networks trained on squares (inverse network, segmenters, g_b)
    see `framing.apply` of them.

    Args:
        generator: any `ImageGenerator` that is an nn.Module; it is copied. If `framed` has scaled or letterboxed it,
            the copy synthesizes at its own size, and `framing` does the rest. The square's size is a power of two.
        view_dims: dimensions of w* that carry the view (`ViewCodes.view_dims`).
        vertices: number of template vertices.
        texture_size: in texels, a power of two.
        settings: sizes of the mapping networks.
    """

    mean: Tensor
    deviation: Tensor
    order: Tensor

    def __init__(
        self,
        generator: ImageGenerator,
        view_dims: Sequence[int],
        *,
        vertices: int,
        texture_size: int,
        settings: MappingSettings = DEFAULT_MAPPING,
    ) -> None:
        super().__init__()
        generator, self.framing = unframed(generator)
        if not isinstance(generator, nn.Module):
            raise GanverseError(
                f"expected a generator that is a torch module, which can be fine-tuned, got "
                f"{type(generator).__name__}; use an image GAN for the neural renderer"
            )
        total = sum(generator.style_sizes)
        view, content = split_dims(total, view_dims)
        self.generator = copy.deepcopy(generator)
        freeze_all_but_synthesis(self.generator)
        self.camera_mapping = CameraMapping(len(view), settings)
        self.shape_mapping = ShapeMapping(vertices, len(content), len(view), settings)
        of_texture, of_background = (len(view) * on for on in (settings.texture_view, settings.background_view))
        self.texture_mapping = ImageMapping(texture_size, len(content), settings, view_outputs=of_texture)
        side = self.framing.resolution
        self.background_mapping = ImageMapping(side, len(content), settings, view_outputs=of_background)
        self.fusion = StyleFusion(len(content))
        self.register_buffer("mean", torch.zeros(total))
        self.register_buffer("deviation", torch.ones(total))
        # Position of every dimension of w* in cat([view, content]).
        self.register_buffer("order", torch.tensor(view + content).argsort())

    @classmethod
    def from_pretrained(cls, source: str | Path, device: torch.device | str = "cpu") -> StyleGANR:
        """The frozen StyleGAN-R of `source`: "car", a path, a run directory or hf://owner/repository.

        See `ganverse.neural_renderer.weights.load_stylegan_r` for details and errors; it also returns the card.
        """
        from ganverse.neural_renderer.weights import load_stylegan_r  # which imports this module

        return load_stylegan_r(source, device)[0]

    @torch.no_grad()
    def calibrate(
        self,
        styles: Float[Tensor, "batch styles"],
        cameras: Cameras,
        vertices: Float[Tensor, "meshes verts 3"],
    ) -> None:
        """Sets the statistics that standardize styles, cameras and shapes, from a hundred samples or more."""
        self.mean.copy_(styles.mean(dim=0))
        self.deviation.copy_(styles.std(dim=0).clamp_min(1e-3))
        self.camera_mapping.calibrate(cameras)
        self.shape_mapping.calibrate(vertices)

    @torch.no_grad()
    def restore_spread(
        self,
        predicted: Float[Tensor, "batch styles"],
        real: Float[Tensor, "batch styles"],
        *,
        share: float = 1.0,
        limit: float = 4.0,
    ) -> None:
        """Gives every content dimension the generator's mean, and restores its spread over objects.

        A regression predicts a style from (S, T, B) only in part, and otherwise its mean. Half the spread is lost, and
        with it the colors and proportions of the objects. An affine map per dimension restores it, merged into the last
        layers of g_s, g_t and g_b, whose fusion weights sum to one.

        Args:
            predicted: `styles` of scenes read from images of the styles `real`.
            real: w* of the generator.
            share: exponent of the factors; 1 restores the whole spread, 0.5 half of its logarithm.
            limit: maximum factor, before the exponent.
        """
        content = self.content_dims
        found, meant = (self.standardize(styles)[:, content] for styles in (predicted, real))
        gain = (meant.std(dim=0) / found.std(dim=0).clamp_min(1e-3)).clamp_max(limit) ** share
        shift = meant.mean(dim=0) - gain * found.mean(dim=0)
        for layers in (self.shape_mapping.layers, self.texture_mapping.head, self.background_mapping.head):
            last = layers[-1]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(gain[:, None])
            last.bias.mul_(gain).add_(shift)

    @property
    def content_dims(self) -> Bool[Tensor, " styles"]:
        """Mask of the content dimensions of w*; the others are the view's."""
        views = len(self.mean) - self.fusion.logits.shape[1]
        return self.order >= views

    def standardize(self, styles: Float[Tensor, "batch styles"]) -> Float[Tensor, "batch styles"]:
        """w* in standard deviations from its mean, the space of stage 1's distances."""
        return (styles - self.mean) / self.deviation

    def background_code(self, background: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch code"]:
        """g_b(B) as it enters the styles: the dimensions that the fusion gives to the background, and g_b's view
        correction.

        Gradients reach the image only. If g_b were trained to make its own codes agree, they would become constant
        (measured: all backgrounds equal after 100 steps). This way the image must show what g_b reads.
        """
        frozen = {name: parameter.detach() for name, parameter in self.background_mapping.named_parameters()}
        code: Tensor = torch.func.functional_call(self.background_mapping, frozen, (background,))
        content, view = code.tensor_split([len(self.fusion.logits[2])], dim=1)
        return torch.cat([content * self.fusion.weights[2].detach(), view], dim=1)

    def styles(self, scenes: Scenes) -> Float[Tensor, "batch styles"]:
        """Flat style vectors w~ of scenes."""
        shape = self.shape_mapping(scenes.vertices)
        texture, *texture_view = self._parted(self.texture_mapping(scenes.texture))
        background, *background_view = self._parted(self.background_mapping(scenes.background))
        content = self.fusion(shape, texture, background)
        view = self.camera_mapping(scenes.cameras) + self.shape_mapping.view(scenes.vertices)
        for correction in (*texture_view, *background_view):
            view = view + correction
        standard = torch.cat([view, content], dim=1)[:, self.order]
        return standard * self.deviation + self.mean

    def _parted(self, values: Float[Tensor, "batch outputs"]) -> list[Float[Tensor, "batch _"]]:
        """Splits outputs into content values and (if present) corrections of the view dimensions."""
        parts = values.tensor_split([self.fusion.logits.shape[1]], dim=1)
        return [part for part in parts if part.shape[1]]

    @torch.no_grad()
    def read(
        self,
        network: InverseGraphicsNetwork,
        images: Float[Tensor, "batch 3 size size"],
        masks: Float[Tensor, "batch 1 size size"],
    ) -> Scenes:
        """Shape, texture, camera and background of framed images, as predicted by the inverse network."""
        seen = network(images)
        return Scenes(seen.camera, seen.vertices, seen.texture, remove_object(images, masks, self.framing))

    def render(self, scenes: Scenes) -> Float[Tensor, "batch 3 height width"]:
        """Images in [0, 1] of a batch of scenes."""
        return self.generator.synthesize(self.styles(scenes))

    def forward(
        self,
        cameras: Cameras,
        vertices: Float[Tensor, "batch verts 3"],
        texture: Float[Tensor, "batch 3 tex tex"],
        background: Float[Tensor, "batch 3 size size"],
    ) -> Float[Tensor, "batch 3 height width"]:
        """Images in [0, 1]; arguments as in `Scenes`."""
        return self.render(Scenes(cameras, vertices, texture, background))

    def synthesis_parameters(self) -> list[nn.Parameter]:
        """The generator's parameters that stage 2 fine-tunes."""
        return [p for p in self.generator.parameters() if p.requires_grad]

    def content_mapping_parameters(self) -> list[nn.Parameter]:
        """The parameters of g_s, g_t and g_b that stage 1 trains."""
        texture, background = self.texture_mapping, self.background_mapping
        images = (texture.convolutions, texture.head, background.convolutions, background.head)
        return [p for network in (self.shape_mapping.layers, *images) for p in network.parameters()]

    def view_correction_parameters(self) -> list[nn.Parameter]:
        """Parameters of the view corrections of g_s, g_t and g_b, for stage 2 only."""
        heads = [self.shape_mapping.view_layers, self.texture_mapping.view_head, self.background_mapping.view_head]
        return [p for head in heads if head is not None for p in head.parameters()]


def split_dims(total: int, view_dims: Sequence[int]) -> tuple[list[int], list[int]]:
    """(view, content) dimensions, ascending; GanverseError unless both are non-empty subsets of range(total)."""
    view = sorted(set(view_dims))
    content = sorted(set(range(total)) - set(view))
    if not view or not content or view[0] < 0 or view[-1] >= total:
        raise GanverseError(
            f"expected view_dims to be a proper subset of the generator's {total} style dimensions, got {len(view)} "
            "of them; check that the view codes belong to this generator"
        )
    return view, content


@torch.enable_grad()
def freeze_all_but_synthesis(generator: ImageGenerator) -> None:
    """Sets requires_grad only for what turns w* into an image; one tiny backward pass finds these parameters."""
    assert isinstance(generator, nn.Module)
    generator.requires_grad_(True)
    device = next(generator.parameters()).device
    z = torch.zeros(1, generator.z_dim, device=device).normal_(generator=torch.Generator(device).manual_seed(0))
    styles = generator.styles(generator.map(z)).detach()
    parameters = list(generator.parameters())
    used = torch.autograd.grad(generator.synthesize(styles).sum(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, used, strict=True):
        parameter.requires_grad_(gradient is not None)
