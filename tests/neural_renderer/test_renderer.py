from dataclasses import replace

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.neural_renderer.renderer import StyleGANR, split_dims
from tests.neural_renderer.toys import SETTINGS, TEXTURE, VERTICES, VIEW_DIMS, ToyGenerator, toy_renderer, toy_scenes


def test_camera_moves_the_view_dims_only_and_content_the_others_only() -> None:
    renderer, scenes = toy_renderer(), toy_scenes(4)
    content = [d for d in range(9) if d not in VIEW_DIMS]
    before = renderer.styles(scenes)
    turned = renderer.styles(scenes.seen_from(scenes.cameras[torch.tensor([1, 2, 3, 0])]))
    assert torch.equal(turned[:, content], before[:, content])
    assert (turned - before)[:, VIEW_DIMS].abs().min() > 0
    index = torch.tensor([1, 2, 3, 0])
    swapped = renderer.styles(scenes.swapped(shape=index, texture=index, background=index))
    assert torch.equal(swapped[:, VIEW_DIMS], before[:, VIEW_DIMS])
    assert torch.allclose(swapped[:, content], before[index][:, content], atol=1e-6)


def test_the_shape_can_correct_the_view_dims_and_nothing_else_can() -> None:
    renderer, scenes = toy_renderer(), toy_scenes(3)
    torch.nn.init.normal_(renderer.shape_mapping.view_layers[-1].weight)
    index = torch.tensor([1, 2, 0])
    before = renderer.styles(scenes)
    moved = (renderer.styles(scenes.swapped(shape=index)) - before)[:, VIEW_DIMS]
    assert moved.abs().min() > 0
    others = scenes.swapped(texture=index, background=index)
    assert torch.equal(renderer.styles(others)[:, VIEW_DIMS], before[:, VIEW_DIMS])


@pytest.mark.parametrize("source", ["texture", "background"])
def test_pictures_can_correct_the_view_dims_unless_that_is_switched_off(source: str) -> None:
    renderer, scenes = toy_renderer(), toy_scenes(3)
    torch.nn.init.normal_(getattr(renderer, f"{source}_mapping").view_head[-1].weight)
    other = scenes.swapped(**{source: torch.tensor([1, 2, 0])})
    moved = renderer.styles(other) - renderer.styles(scenes)
    assert moved[:, VIEW_DIMS].abs().min() > 0
    settings = replace(SETTINGS, **{f"{source}_view": False})
    plain = StyleGANR(ToyGenerator(), VIEW_DIMS, vertices=VERTICES, texture_size=TEXTURE, settings=settings)
    assert getattr(plain, f"{source}_mapping").view_head is None
    moved = plain.styles(other) - plain.styles(scenes)
    assert moved[:, VIEW_DIMS].abs().max() == 0


def test_one_hot_fusion_gives_every_source_its_own_dimensions() -> None:
    renderer, scenes = toy_renderer(), toy_scenes(3)
    renderer.fusion.logits.data = torch.nn.functional.one_hot(torch.arange(7) % 3, 3).t().float() * 100
    content = torch.tensor([d for d in range(9) if d not in VIEW_DIMS])
    index = torch.tensor([1, 2, 0])
    before = renderer.styles(scenes)
    for source, name in enumerate(("shape", "texture", "background")):
        moved = (renderer.styles(scenes.swapped(**{name: index})) - before).abs().amax(dim=0) > 1e-6
        assert moved.nonzero().flatten().tolist() == content[source::3].tolist()


def test_calibration_sets_the_units_of_the_styles() -> None:
    renderer, scenes = toy_renderer(), toy_scenes(4)
    styles = torch.randn(200, 9) * torch.arange(1, 10) + 5
    renderer.calibrate(styles, scenes.cameras, scenes.vertices)
    standard = renderer.standardize(styles)
    assert torch.allclose(standard.mean(dim=0), torch.zeros(9), atol=1e-4)
    assert torch.allclose(standard.std(dim=0), torch.ones(9), atol=1e-4)
    raw = renderer.standardize(renderer.styles(scenes))
    assert raw.abs().max() < 3  # an untrained mapping is already in range


def test_content_gets_its_spread_back_and_the_view_stays() -> None:
    renderer, scenes = toy_renderer(), toy_scenes(64)
    real = 3 * torch.randn(64, 9, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 10) + 5
    renderer.calibrate(real, scenes.cameras, scenes.vertices)
    renderer.fusion.logits.data.normal_()
    before = renderer.styles(scenes)
    renderer.restore_spread(before, real, limit=1e9)
    after, content = renderer.styles(scenes), renderer.content_dims
    assert torch.equal(after[:, ~content], before[:, ~content])
    assert torch.allclose(after.mean(dim=0)[content], real.mean(dim=0)[content], rtol=1e-3, atol=1e-2)
    assert torch.allclose(after.std(dim=0)[content], real.std(dim=0)[content], rtol=1e-3)
    correlation = torch.corrcoef(torch.stack([after[:, content][:, 0], before[:, content][:, 0]]))[0, 1]
    assert correlation > 0.999


def test_the_spread_is_raised_up_to_a_limit() -> None:
    renderer, scenes = toy_renderer(), toy_scenes(16)
    before = renderer.styles(scenes)
    renderer.restore_spread(before, 1000 * before, limit=2.0)
    content = renderer.content_dims
    assert torch.allclose(renderer.styles(scenes).std(dim=0)[content], 2 * before.std(dim=0)[content], rtol=1e-3)


def test_only_the_synthesis_is_trained_and_the_original_is_untouched() -> None:
    generator = ToyGenerator()
    renderer = StyleGANR(generator, VIEW_DIMS, vertices=VERTICES, texture_size=TEXTURE, settings=SETTINGS)
    names = {n for n, p in renderer.generator.named_parameters() if p.requires_grad}
    assert names == {"paint.weight", "paint.bias"}
    assert all(p.requires_grad for p in generator.parameters())
    renderer.synthesis_parameters()[0].data.add_(1)
    assert not torch.equal(renderer.generator.paint.weight, generator.paint.weight)


def test_images_and_gradients() -> None:
    renderer, scenes = toy_renderer(), toy_scenes(2)
    images = renderer.render(scenes)
    assert images.shape == (2, 3, 16, 16)
    assert torch.equal(renderer(scenes.cameras, scenes.vertices, scenes.texture, scenes.background), images)
    images.square().mean().backward()
    trained = [*renderer.camera_mapping.parameters(), *renderer.content_mapping_parameters()]
    assert all(p.grad is not None for p in [*trained, *renderer.synthesis_parameters()])
    assert all(p.grad is not None for p in renderer.view_correction_parameters())
    assert len(renderer.view_correction_parameters()) == 18  # three networks of three layers
    assert renderer.fusion.logits.grad is not None


@pytest.mark.parametrize("dims", [(), tuple(range(9)), (3, 9), (-1, 2)])
def test_impossible_view_dims_are_refused(dims: tuple[int, ...]) -> None:
    with pytest.raises(GanverseError, match="view_dims"):
        split_dims(9, dims)


class _NotAModule:
    resolution, image_size, z_dim, style_sizes, view_layers, noise_shapes = 16, (16, 16), 4, (4, 5), 1, ()
    map = styles = synthesize = lambda self, x: x


def test_a_generator_that_cannot_be_tuned_is_refused() -> None:
    with pytest.raises(GanverseError, match="torch module"):
        StyleGANR(_NotAModule(), VIEW_DIMS, vertices=VERTICES, texture_size=TEXTURE)


def test_background_codes_train_the_picture_and_not_their_reader() -> None:
    renderer, scenes = toy_renderer(), toy_scenes(3)
    picture = scenes.background.clone().requires_grad_()
    code = renderer.background_code(picture)
    expected = renderer.background_mapping(scenes.background)[:, :7] * renderer.fusion.weights[2]
    assert torch.allclose(code[:, :7], expected)
    assert torch.equal(code[:, 7:], torch.zeros(3, 2))  # the view head starts at zero
    code.square().mean().backward()
    assert picture.grad.abs().sum() > 0
    assert all(p.grad is None for p in renderer.parameters())
