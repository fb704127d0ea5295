"""Training data of StyleGAN-R: frozen networks, and the scenes they predict from samples of the frozen GAN."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ganverse.batch import MultiViewBatch
from ganverse.generators.framing import Framing, unframed
from ganverse.generators.protocol import ImageGenerator
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.masks.segmenter import Segmenter
from ganverse.neural_renderer.scenes import Scenes, background_mask, remove_object
from ganverse.viewpoints.view_codes import ViewCodes, mix_styles, view_styles

_PER_DRAW = 32


@dataclass(frozen=True)
class FrozenNetworks:
    """Trained networks of earlier stages, frozen and in eval mode.

    inverse, cameras: from the inverse stage. segmenter: images to masks. perceptual: None if no loss needs it.
    generator: the original GAN, if it is a network. A plain dataclass, so that a LightningModule does not register
    them.
    """

    inverse: InverseGraphicsNetwork
    cameras: CameraTable
    segmenter: Segmenter
    perceptual: PerceptualDistance | None = None
    generator: ImageGenerator | None = None

    def __deepcopy__(self, memo: object) -> FrozenNetworks:
        """Returns itself: copies and averages of a module share the frozen networks."""
        return self

    def __post_init__(self) -> None:
        for network in self.networks():
            network.requires_grad_(False).eval()

    @property
    def framing(self) -> Framing | None:
        """Framing between the generator's images and those the networks see, if known."""
        return None if self.generator is None else unframed(self.generator)[1]

    def networks(self) -> list[nn.Module]:
        """The networks that are not None."""
        everything = (self.inverse, self.cameras, self.segmenter, self.perceptual, self.generator)
        return [network for network in everything if isinstance(network, nn.Module)]

    def to(self, device: torch.device | str) -> FrozenNetworks:
        """Moves the networks in place."""
        for network in self.networks():
            network.to(device)
        return self

    def fingerprints(self) -> dict[str, str]:
        """sha256 of the weights of f, its cameras and the segmenter, for checkpoints."""
        named = {"inverse": self.inverse, "cameras": self.cameras, "segmenter": self.segmenter}
        return {name: fingerprint(network) for name, network in named.items()}


def fingerprint(network: nn.Module) -> str:
    """sha256 over names and values of all weights, independent of device and file format."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class TrainingScene:
    """A batch of scenes with the frozen GAN's images of them.

    inputs: of StyleGAN-R. styles, images, masks: the GAN's w*, its image, and that image's object mask. background: the
    image that provides the background, with its object filled in; visible: 1 where it shows its background, 0 where
    the background is interpolated. keys: a number for every view of every sample, on the CPU; seeds its randomness.
    """

    inputs: Scenes
    styles: Float[Tensor, "batch styles"]
    images: Float[Tensor, "batch 3 height width"]
    masks: Float[Tensor, "batch 1 height width"]
    background: Float[Tensor, "batch 3 height width"]
    visible: Float[Tensor, "batch 1 height width"]
    keys: Int[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice) -> TrainingScene:
        tensors = (self.styles, self.images, self.masks, self.background, self.visible, self.keys)
        return TrainingScene(self.inputs[index], *(tensor[index] for tensor in tensors))

    def seen_from(self, cameras: Cameras) -> TrainingScene:
        """Replaces the cameras of the inputs."""
        return replace(self, inputs=self.inputs.seen_from(cameras))

    def composite(self) -> Float[Tensor, "batch 3 height width"]:
        """The GAN's objects on the backgrounds of the inputs.

        Where the view code changes the background, the GAN's image and the input disagree, and a renderer trained on
        both would learn the mean of all backgrounds. Masks are narrowed to their more certain half; otherwise a rim of
        the image's own background remains as a halo.
        """
        return torch.lerp(self.background, self.images, (2 * self.masks - 1).clamp_min(0))


@torch.no_grad()
def draw_contents(
    generator: ImageGenerator, objects: int, seed: int, device: torch.device | str
) -> Float[Tensor, "objects styles"]:
    """w* of objects of the frozen GAN with their own views; a pure function of the seed."""
    z = torch.randn(objects, generator.z_dim, generator=torch.Generator().manual_seed(seed)).to(device)
    return generator.styles(generator.map(z))


@torch.no_grad()
def draw_batches(
    generator: ImageGenerator, codes: ViewCodes, networks: FrozenNetworks, objects: int, seed: int
) -> list[MultiViewBatch]:
    """Unfiltered objects in one view each, cycling through the view codes; a pure function of the seed."""
    device = networks.cameras.all().azimuth.device
    contents = draw_contents(generator, objects, seed, device)
    views, view_ids = view_styles(generator, codes, device=device), torch.arange(objects, device=device) % len(codes)
    styles = mix_styles(contents, views[view_ids], codes.view_dims)
    batches = []
    for index in torch.arange(objects).split(_PER_DRAW):
        images = generator.synthesize(styles[index])
        masks = networks.segmenter.probability(images)
        parts = (images, masks, view_ids[index], styles[index])
        images, masks, ids, own = (part[:, None] for part in parts)
        batches.append(MultiViewBatch(images=images, masks=masks, view_ids=ids, sample_index=index, styles=own))
    return batches


@torch.no_grad()
def read_training_scene(
    batch: MultiViewBatch,
    networks: FrozenNetworks,
    *,
    views: int | None = None,
    fill: bool = True,
    own_texture: bool = False,
) -> TrainingScene:
    """One scene per image: shape, texture and background of a view, under the camera of the object's NEXT view.

    The content codes therefore cannot rely on the view they were predicted from. Grouped by view: the first b scenes
    are those of view 0.

    Args:
        batch: samples of the frozen GAN.
        networks: predict shape and texture, and provide the cameras.
        views: number of views read per object; None reads all.
        fill: see `remove_object`.
        own_texture: predict the texture from the target image itself. In small GANs some view codes change the colors
            (one of the embedded GAN makes every car gray). A renderer that gets one view's colors and is compared with
            another's learns to ignore the texture.
    """
    images, masks = (x.transpose(0, 1)[:views].flatten(0, 1) for x in (batch.images, batch.masks))
    styles, targets, target_masks, view_ids = (
        x.transpose(0, 1).roll(-1, dims=0)[:views].flatten(0, 1)
        for x in (batch.styles, batch.images, batch.masks, batch.view_ids)
    )
    predicted = networks.inverse(images)
    background = remove_object(images, masks, networks.framing)
    visible = background_mask(masks)
    texture = networks.inverse(targets).texture if own_texture else predicted.texture
    inputs = Scenes(
        networks.cameras(view_ids), predicted.vertices, texture, background if fill else background * visible
    )
    count = batch.view_ids.shape[1]
    keys = (batch.sample_index * count + torch.arange(count)[:views, None]).flatten()
    return TrainingScene(inputs, styles, targets, target_masks, background, visible, keys)
