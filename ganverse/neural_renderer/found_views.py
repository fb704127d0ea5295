"""Views between the annotated codes: random view codes of the GAN whose cameras are fitted, for g_v to learn from.

Two dozen codes show each azimuth at one elevation only, so that nobody can tell from them what the elevation does. The
GAN knows a continuum: every random w* has a view. Its camera is found as those of the camera table were, by DIB-R:
objects whose shape and texture f has read off an annotated view are rendered, and the camera is moved until the renders
look like the GAN's pictures of them under the new view. Where f itself takes that camera to be is only the start: it
has learned the table's cameras and says one of these, or something between them. Beyond the paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.generators.protocol import ImageGenerator
from ganverse.geometry.cameras import Cameras, angular_difference
from ganverse.inverse.losses import color_loss, silhouette_loss
from ganverse.neural_renderer.frozen_networks import FrozenNetworks
from ganverse.neural_renderer.training_scenes import Lesson, drawn_contents
from ganverse.rendering.render import SHARP, Silhouette, render
from ganverse.viewpoints.view_codes import ViewCodes, mix_styles, view_latents, view_styles

CAMERA_NUMBERS = 5
_FIRST_SEED = 1_000_000
_PER_FIT = 16
_SECTORS, _ENOUGH = 12, 4
_SOFT, _SOFT_STEPS = Silhouette(5000.0, 0.06), 0.6


@dataclass(frozen=True)
class FoundViewSettings:
    """Views beside the annotated ones.

    candidates: random view codes that are looked at; 0 = none, the paper's way. objects: shown under each. steps, rate:
    of the camera fit (Adam's; radians and logarithms). kept: share of the candidates of every sector of azimuths, those
    whose renders fit best. worst: loss of what is kept at most, in that of the annotated codes (their median).
    share: of the lessons that ask for a found view instead of an annotated one.
    """

    candidates: int = 400
    objects: int = 4
    steps: int = 25
    rate: float = 0.02
    kept: float = 0.4
    worst: float = 2.0
    share: float = 0.35


@dataclass(frozen=True)
class FoundViews:
    """styles: of the view dimensions. cameras: as numbers (`numbers_of`). weights: how often lessons ask for each.

    The weights of what is not kept are 0; their sum is the same in all sectors of azimuths where there are enough.
    """

    styles: Float[Tensor, "views dims"]
    cameras: Float[Tensor, "views 5"]
    weights: Float[Tensor, " views"]

    def chosen(self, chance: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Rows, by the weights; `chance` in [0, 1) decides."""
        reached = self.weights.cumsum(0)
        return torch.searchsorted(reached, chance * reached[-1], right=True).clamp_max(len(reached) - 1)


def numbers_of(cameras: Cameras) -> Float[Tensor, "batch 5"]:
    """Azimuth, elevation, log distance, offset: what the fit moves."""
    angles_and_distance = torch.stack([cameras.azimuth, cameras.elevation, cameras.distance.log()], dim=1)
    return torch.cat([angles_and_distance, cameras.offset], dim=1)


def cameras_of(numbers: Float[Tensor, "batch 5"]) -> Cameras:
    """The inverse of `numbers_of`."""
    return Cameras(numbers[:, 0], numbers[:, 1], numbers[:, 2].exp(), numbers[:, 3:])


@torch.no_grad()
def find_views(
    generator: ImageGenerator, codes: ViewCodes, teachers: FrozenNetworks, settings: FoundViewSettings, seed: int
) -> FoundViews:
    """Draws candidates, fits their cameras and keeps the best all round; a pure function of the seed."""
    device = teachers.cameras.all().azimuth.device
    seeds = range(_FIRST_SEED, _FIRST_SEED + settings.candidates)
    latents = view_latents(seeds, generator.z_dim).to(device)
    styles = generator.styles(generator.map(latents))[:, list(codes.view_dims)]
    annotated = view_styles(generator, codes, device=device)
    contents = drawn_contents(generator, codes, settings.objects, seed, device)
    known = _known_objects(teachers, [_paint(generator, codes, contents, view[None]) for view in annotated])
    cameras, losses = [], []
    for part in torch.cat([annotated, styles]).split(_PER_FIT):
        images = _paint(generator, codes, contents, part)
        fitted, loss = _fit(teachers, known, images, settings)
        cameras.append(fitted)
        losses.append(loss)
    again, numbers = torch.cat(cameras).tensor_split([len(codes)])
    usual, loss = torch.cat(losses).tensor_split([len(codes)])
    # The annotated codes' cameras are known: what this fit makes of them on average is its bias.
    bias = again - numbers_of(teachers.cameras.all())
    bias[:, 0] = 0
    numbers = numbers - bias.median(dim=0).values
    return FoundViews(styles, numbers, view_weights(numbers[:, 0], loss / usual.median(), settings))


def _paint(
    generator: ImageGenerator,
    codes: ViewCodes,
    contents: Float[Tensor, "objects styles"],
    views: Float[Tensor, "views dims"],
) -> Float[Tensor, "views_objects 3 height width"]:
    """Every object under every view, view by view."""
    rows = mix_styles(contents.repeat(len(views), 1), views.repeat_interleave(len(contents), dim=0), codes.view_dims)
    return torch.cat([generator.synthesize(part) for part in rows.split(_PER_FIT)])


@dataclass(frozen=True)
class _Known:
    """Objects as f reads them under every annotated code: shapes, textures, light, [codes, objects, ...]."""

    vertices: Float[Tensor, "codes objects verts 3"]
    texture: Float[Tensor, "codes objects 3 tex tex"]
    light: Float[Tensor, "codes objects 9"] | None

    def at(self, code: Int[Tensor, " views"]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of all objects, seen under the code of every view; view by view."""
        light = None if self.light is None else self.light[code].flatten(0, 1)
        return self.vertices[code].flatten(0, 1), self.texture[code].flatten(0, 1), light


def _known_objects(teachers: FrozenNetworks, pictures: Sequence[Float[Tensor, "objects 3 height width"]]) -> _Known:
    seen = [teachers.inverse(images) for images in pictures]
    light = None if seen[0].light is None else torch.stack([one.light for one in seen if one.light is not None])
    return _Known(torch.stack([one.vertices for one in seen]), torch.stack([one.texture for one in seen]), light)


def _fit(
    teachers: FrozenNetworks,
    known: _Known,
    images: Float[Tensor, "views_objects 3 height width"],
    settings: FoundViewSettings,
) -> tuple[Float[Tensor, "views 5"], Float[Tensor, " views"]]:
    """Cameras of views, and how badly the renders of the known objects fit their pictures and these one another."""
    masks = teachers.segmenter(images)
    start, apart = _mean_camera(teachers.inverse(images).camera, settings.objects)
    with torch.enable_grad():
        numbers = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([numbers], lr=settings.rate, betas=(0.8, 0.95))
        for step in range(settings.steps):
            optimizer.param_groups[0]["lr"] = settings.rate * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
            optimizer.zero_grad()
            rim = _SOFT if step < _SOFT_STEPS * settings.steps else SHARP
            _losses(teachers, known, images, masks, numbers, rim).sum().backward()
            optimizer.step()
    numbers = numbers.detach()
    return numbers, _losses(teachers, known, images, masks, numbers, SHARP) + apart


def _mean_camera(cameras: Cameras, objects: int) -> tuple[Float[Tensor, "views 5"], Float[Tensor, " views"]]:
    """Of all objects of every view, the azimuth's on the circle; and its circular variance."""
    numbers = numbers_of(cameras).unflatten(0, (-1, objects))
    sine, cosine = numbers[..., 0].sin().mean(dim=1), numbers[..., 0].cos().mean(dim=1)
    mean = torch.cat([torch.atan2(sine, cosine)[:, None], numbers[..., 1:].mean(dim=1)], dim=1)
    return mean, 1 - torch.hypot(sine, cosine)


def _losses(
    teachers: FrozenNetworks,
    known: _Known,
    images: Float[Tensor, "views_objects 3 height width"],
    masks: Float[Tensor, "views_objects 1 height width"],
    numbers: Float[Tensor, "views 5"],
    rim: Silhouette,
) -> Float[Tensor, " views"]:
    """Color and silhouette of the objects, as read under the annotated code of the nearest azimuth."""
    azimuth, annotated = torch.broadcast_tensors(numbers.detach()[:, :1], teachers.cameras.all().azimuth)
    nearest = angular_difference(azimuth, annotated).abs().argmin(dim=1)
    vertices, texture, light = known.at(nearest)
    cameras = cameras_of(numbers.repeat_interleave(len(images) // len(numbers), dim=0))
    mesh, size = teachers.inverse.template.with_vertices(vertices), images.shape[-1]
    drawn = render(mesh, texture, cameras, light, size=size, silhouette=rim)
    loss = color_loss(drawn.rgb, images, masks) + silhouette_loss(drawn.alpha, masks)
    return loss.view(len(numbers), -1).mean(dim=1)


def view_weights(
    azimuth: Float[Tensor, " views"], losses: Float[Tensor, " views"], settings: FoundViewSettings
) -> Float[Tensor, " views"]:
    """How often lessons ask for each view (see `FoundViews`); losses: in those of the annotated codes."""
    sector = (azimuth.rad2deg() * _SECTORS / 360).floor().long() % _SECTORS
    weights = torch.zeros_like(losses)
    for number in range(_SECTORS):
        rows = (sector == number).nonzero()[:, 0]
        best = rows[losses[rows].argsort()[: math.ceil(settings.kept * len(rows))]]
        best = best[losses[best] <= settings.worst]
        # a single one, which may be wrong, shall not speak for all of its sector
        weights[best] = 1 / max(len(best), _ENOUGH)
    return weights


@torch.no_grad()
def under_found_views(
    lesson: Lesson,
    found: FoundViews,
    generator: ImageGenerator,
    codes: ViewCodes,
    teachers: FrozenNetworks,
    chance: Float[Tensor, "batch 2"],
    *,
    share: float,
    own_texture: bool,
) -> Lesson:
    """Some of the scenes under found views instead of annotated ones, painted by the frozen generator.

    chance: in [0, 1), decides which scenes and which views. own_texture: as in `read_lesson`.
    """
    rows = (chance[:, 0] < share).nonzero()[:, 0]
    if len(rows) == 0 or not found.weights.any():
        return lesson
    chosen = found.chosen(chance[rows, 1].contiguous())
    answers = mix_styles(lesson.styles[rows], found.styles[chosen], codes.view_dims)
    # in half precision training the pictures would come in another type than the stream's
    pictures = generator.synthesize(answers).to(lesson.images)
    scenes = lesson.scenes.seen_from(
        cameras_of(numbers_of(lesson.scenes.cameras).index_copy(0, rows, found.cameras[chosen]))
    )
    if own_texture:
        texture = scenes.texture.index_copy(0, rows, teachers.inverse(pictures).texture.to(scenes.texture))
        scenes = replace(scenes, texture=texture)
    return replace(
        lesson,
        scenes=scenes,
        styles=lesson.styles.index_copy(0, rows, answers),
        images=lesson.images.index_copy(0, rows, pictures),
        masks=lesson.masks.index_copy(0, rows, teachers.segmenter(pictures).to(lesson.masks)),
    )
