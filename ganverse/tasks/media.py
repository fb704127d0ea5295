"""Sample images of the networks during training, always of the same objects: those of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from ganverse.batch import MultiViewBatch
from ganverse.evaluation.control_figures import FACTORS, rotation_table, swap_table
from ganverse.evaluation.figures import reconstruction_table
from ganverse.export import glb_bytes
from ganverse.generators.framing import unframed
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.neural_renderer.controls import azimuth_sweep, render_in_chunks
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.training_scenes import FrozenNetworks, TrainingScene
from ganverse.training.charts import Moment, camera_wheel
from ganverse.training.media import Medium

AZIMUTHS = tuple(30.0 * step for step in range(12))
MESHES = 2


def inverse_media(
    network: InverseGraphicsNetwork, cameras: CameraTable, batch: MultiViewBatch, history: Sequence[Moment]
) -> dict[str, Medium]:
    """Named media.

    inverse: see `reconstruction_table`. object-N: the first objects as GLB. camera-wheel: annotated and learned
    azimuths, and the path between.
    """
    batch = batch.to(cameras.azimuth.device)
    media: dict[str, Medium] = {"inverse": reconstruction_table(network, cameras, batch)}
    seen = network(batch.images[:MESHES, 0])
    for i, vertices in enumerate(seen.vertices):
        media[f"object-{i + 1}"] = glb_bytes(network.template.with_vertices(vertices[None]), seen.texture[i])
    return media | ({"camera-wheel": camera_wheel(history)} if history else {})


def disentanglement_media(renderer: StyleGANR, networks: FrozenNetworks, scene: TrainingScene) -> dict[str, Medium]:
    """Named tables of images at the generator's image size.

    camera: see `rotation_table`. swap-*: see `swap_table`; the first column shows the GAN's own images.
    """
    assert networks.generator is not None
    generated = unframed(networks.generator)[0].synthesize(scene.styles).detach()
    sweep = azimuth_sweep(scene.inputs, networks.cameras.all(), AZIMUTHS)
    images, template = render_in_chunks(renderer, sweep), networks.inverse.template
    swaps = {f"swap-{factor}": swap_table(renderer, scene.inputs, generated, factor) for factor in FACTORS}
    return {"camera": rotation_table(renderer, template, generated, sweep, images), **swaps}
