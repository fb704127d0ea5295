import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from ganverse.data.batch import MultiViewBatch
from ganverse.errors import GanverseError
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.masks.segmenter import Segmenter, SegmenterNetwork
from ganverse.neural_renderer.found_views import FoundViewSettings
from ganverse.neural_renderer.frozen_networks import FrozenNetworks
from ganverse.neural_renderer.objective import DisentangleWeights
from ganverse.neural_renderer.settings import DisentangleSettings
from ganverse.tasks.disentangle import DisentangleTask
from ganverse.training.disentangle_pictures import DisentanglePainter
from ganverse.training.media import Pictures
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, mix_styles, view_styles
from tests.neural_renderer.toys import SETTINGS, VIEW_DIMS, ToyGenerator

CODES = ViewCodes("toy", VIEW_DIMS, tuple(ViewCode(i, 90.0 * i) for i in range(4)))
NETWORK = InverseNetworkConfig(
    resolution=16, subdivisions=1, unshuffle=2, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
)
SCHEDULE = DisentangleSettings(
    warm_up_images=16, fine_tune_images=16, calibration_images=8, found_views=FoundViewSettings(candidates=0)
)


class PlainDistance(PerceptualDistance):
    """Stands in for LPIPS, which wants larger pictures."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first - second).square().mean(dim=(1, 2, 3))


def make_networks(seed: int = 1) -> FrozenNetworks:
    torch.manual_seed(seed)
    inverse = InverseGraphicsNetwork(NETWORK)
    inverse.shape.weight.data.normal_(std=0.1)
    inverse.camera.linear.weight.data.normal_(std=0.1)  # an untrained head would say the same camera of every picture
    segmenter = Segmenter(SegmenterNetwork((4, 4, 4, 4)), working_size=16)
    segmenter.network.leave[0].bias.data.fill_(-2.0)  # some background must be left
    return FrozenNetworks(inverse, CameraTable([0.0, 90.0, 180.0, 270.0]), segmenter)


def make_task(
    weights: DisentangleWeights | None = None,
    settings: DisentangleSettings = SCHEDULE,
) -> DisentangleTask:
    networks = make_networks()
    torch.manual_seed(0)
    weights = weights or DisentangleWeights(distill_perceptual=0.0)
    return DisentangleTask(ToyGenerator(), CODES, networks, settings, weights, SETTINGS)


def make_batch(task: DisentangleTask, objects: int = 4, seed: int = 0) -> MultiViewBatch:
    generator = task.renderer.generator
    source = torch.Generator().manual_seed(seed)
    content = generator.styles(generator.map(torch.randn(objects, 4, generator=source))).detach()
    view_ids = torch.stack([torch.randperm(4, generator=source)[:2] for _ in range(objects)])
    views = view_styles(generator, CODES)[view_ids.flatten()]
    styles = mix_styles(content.repeat_interleave(2, dim=0), views, VIEW_DIMS)
    images = generator.synthesize(styles).detach()
    masks = task.networks.segmenter.probability(images)
    return MultiViewBatch(
        images=images.unflatten(0, (objects, 2)),
        masks=masks.unflatten(0, (objects, 2)),
        view_ids=view_ids,
        sample_index=torch.arange(objects),
        styles=styles.unflatten(0, (objects, 2)),
    )


class Batches(pl.LightningDataModule):
    def __init__(self, batches: list[MultiViewBatch]) -> None:
        super().__init__()
        self._batches = batches

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(self._batches, batch_size=None)

    def transfer_batch_to_device(self, batch: MultiViewBatch, device: torch.device, _: int) -> MultiViewBatch:
        return batch


def fit(task: DisentangleTask, folder: Path, steps: int, callbacks: list[pl.Callback] | None = None) -> pl.Trainer:
    trainer = pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_steps=steps,
        callbacks=callbacks or [],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, Batches([make_batch(task, seed=i) for i in range(steps)]))
    return trainer


def test_scenes_are_read_from_one_view_and_asked_for_from_the_next() -> None:
    task = make_task()
    batch = make_batch(task)
    scene = task.observe(batch)
    assert torch.equal(scene.images[:4], batch.images[:, 1])
    assert torch.equal(scene.styles[4:], batch.styles[:, 0])
    expected = task.networks.inverse(batch.images[:, 0]).vertices
    assert torch.allclose(scene.inputs.vertices[:4], expected, atol=1e-6)
    azimuth = task.networks.cameras(batch.view_ids[:, 1]).azimuth
    assert torch.equal(scene.inputs.cameras.azimuth[:4], azimuth)


def test_warm_up_leaves_the_generator_alone_and_fine_tuning_moves_it(tmp_path: Path) -> None:
    task = make_task()
    start = task.renderer.generator.paint.weight.clone()
    mapping = task.renderer.shape_mapping.layers[0].weight.clone()
    fit(task, tmp_path, 2)
    assert int(task.images_seen) == 16
    assert not task.warming_up
    assert torch.equal(task.renderer.generator.paint.weight, start)
    assert not torch.equal(task.renderer.shape_mapping.layers[0].weight, mapping)
    cameras = task.renderer.camera_mapping.layers[0].weight.clone()
    fit(task, tmp_path, 1)
    assert not torch.equal(task.renderer.generator.paint.weight, start)
    assert torch.equal(task.renderer.camera_mapping.layers[0].weight, cameras), "g_v has learned its part"


def test_teachers_get_no_gradient_and_stay_out_of_checkpoint_and_parameters(tmp_path: Path) -> None:
    task = make_task()
    before = task.networks.fingerprints()
    trainer = fit(task, tmp_path, 3)
    assert task.networks.fingerprints() == before
    assert all(p.grad is None and not p.requires_grad for net in task.networks.networks() for p in net.parameters())
    assert not any(net.training for net in task.networks.networks())
    found = {"found_styles", "found_cameras", "found_weights"}
    own = {"renderer", "images_seen", "calibrated", "restored", *found}
    assert {name.split(".")[0] for name in task.state_dict()} == own
    taught = {id(p) for net in task.networks.networks() for p in net.parameters()}
    assert taught.isdisjoint(id(p) for p in task.parameters())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["networks"] == before


def test_resuming_is_exact_and_other_teachers_are_refused(tmp_path: Path) -> None:
    whole = make_task()
    fit(whole, tmp_path, 4)
    first = make_task()
    fit(first, tmp_path, 3).save_checkpoint(tmp_path / "last.ckpt")
    second = make_task()
    batches = Batches([make_batch(second, seed=3)])
    trainer = pl.Trainer(max_steps=4, accelerator="cpu", logger=False, enable_checkpointing=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before the epoch")
        trainer.fit(second, batches, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    stranger = DisentangleTask(ToyGenerator(), CODES, make_networks(seed=2), SCHEDULE, mapping=SETTINGS)
    with pytest.raises(GanverseError, match="inverse"):
        stranger.on_load_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))


def test_every_loss_is_named_like_its_weight_and_can_be_switched_off() -> None:
    task = make_task(DisentangleWeights(distill_perceptual=1.0))
    task.networks = replace(task.networks, perceptual=PlainDistance())
    scene = task.observe(make_batch(task))
    terms = {**task.mapping_terms(scene), **task.cycle_terms(scene[:4])}
    assert set(terms) == set(vars(DisentangleWeights()))
    assert all(torch.isfinite(value).all() for value in terms.values())
    silent = make_task(DisentangleWeights(*[0.0] * len(terms)))
    assert silent.weights.total(silent.cycle_terms(scene[:4])) == 0


def test_camera_cycle_reaches_the_camera_mapping() -> None:
    task = make_task()
    terms = task.cycle_terms(task.observe(make_batch(task))[:4])
    for name in ("camera", "view", "shape", "texture", "background", "shared_background"):
        task.renderer.zero_grad()
        terms[name].mean().backward(retain_graph=True)
        assert task.renderer.camera_mapping.layers[0].weight.grad is not None, name
        assert task.renderer.generator.paint.weight.grad.abs().sum() > 0, name


def test_swaps_are_a_pure_function_of_seed_and_progress() -> None:
    task = make_task()
    scene = task.observe(make_batch(task))[:4]
    scenes = scene.inputs
    a, b = task._swap(scene).scenes, task._swap(scene).scenes
    assert torch.equal(a.cameras.azimuth, b.cameras.azimuth)
    assert torch.equal(a.vertices, b.vertices)
    assert not (a.vertices == scenes.vertices).all(dim=2).all(dim=1).any(), "every shape is another's"
    assert not (a.texture == scenes.texture).flatten(1).all(dim=1).any()
    assert torch.equal(a.background[::2], scenes.background[::2])
    assert torch.equal(a.background[1::2], scenes.background[1::2].flip(-1))
    assert task._swap(scene).kept.tolist() == [True, False, True, False]
    assert torch.equal(a.cameras.azimuth[::2], scenes.cameras.azimuth[::2])
    assert not torch.isclose(a.cameras.azimuth[1::2], scenes.cameras.azimuth[1::2]).any()
    task.images_seen += 8
    assert not torch.equal(task._swap(scene).scenes.cameras.azimuth, a.cameras.azimuth)


def test_only_twins_with_the_same_camera_must_have_the_same_background() -> None:
    task = make_task()
    terms = task.cycle_terms(task.observe(make_batch(task))[:4])
    assert terms["shared_background"].bool().tolist() == [True, False, True, False]


def test_backgrounds_are_learned_from_pixels_and_reach_the_view_dimensions() -> None:
    task = make_task()
    terms = task.cycle_terms(task.observe(make_batch(task))[:4])
    terms["background_pixels"].mean().backward()
    head = task.renderer.background_mapping.view_head
    assert head is not None
    assert head[-1].weight.grad.abs().sum() > 0
    assert task.renderer.background_mapping.head[0].weight.grad.abs().sum() > 0


def test_stage_two_reads_one_view_per_object() -> None:
    task = make_task()
    batch = make_batch(task)
    one, both = task.observe(batch, views=1), task.observe(batch)
    assert len(one.images) == 4
    assert torch.allclose(one.inputs.vertices, both.inputs.vertices[:4], atol=1e-6)
    assert torch.equal(one.images, both.images[:4])
    assert torch.equal(one.inputs.cameras.azimuth, both.inputs.cameras.azimuth[:4])


def test_the_spread_is_restored_once_before_stage_two(tmp_path: Path) -> None:
    task = make_task()
    fit(task, tmp_path, 2)
    assert not task.restored
    fit(task, tmp_path, 1)
    assert task.restored
    after = task.renderer.shape_mapping.layers[-1].weight.clone()
    fit(task, tmp_path, 1)
    assert not (task.renderer.shape_mapping.layers[-1].weight / after - 1).abs().median() > 0.1
    plain = make_task(settings=replace(SCHEDULE, keep_spread=0.0))
    fit(plain, tmp_path, 3)
    assert not plain.restored


def test_the_spread_is_that_of_the_frozen_generator_s_styles() -> None:
    task = make_task(settings=replace(SCHEDULE, calibration_images=64, keep_spread=1.0))
    task._calibrate()
    styles = torch.cat([scene.styles for scene in task._draw(1)])
    task.renderer.generator.affine.weight.data *= 5  # what was fine-tuned has no say
    assert torch.equal(torch.cat([scene.styles for scene in task._draw(1)]), styles)
    task.restore_spread()
    said = torch.cat([task.renderer.styles_of(scene.inputs) for scene in task._draw(1)])
    content = task.renderer.content_dims
    assert torch.allclose(said.mean(dim=0)[content], styles.mean(dim=0)[content], atol=1e-3)
    assert (said.std(dim=0)[content] <= 1.01 * styles.std(dim=0)[content]).all()


def test_training_lowers_the_mapping_loss(tmp_path: Path) -> None:
    task = make_task(settings=replace(SCHEDULE, warm_up_images=10_000, mapping_rate=5e-3))
    task._calibrate()
    task.calibrated.fill_(True)
    scene = task.observe(make_batch(task, objects=32, seed=99))
    before = task.mapping_terms(scene)["mapping"].mean()
    fit(task, tmp_path, 40)
    assert task.mapping_terms(scene)["mapping"].mean() < 0.9 * before


def test_pictures_are_written(tmp_path: Path) -> None:
    task = make_task()
    painter = DisentanglePainter(make_batch(task, objects=3))
    fit(task, tmp_path, 1, [Pictures(tmp_path / "samples", painter, minutes=60)])
    kinds = {path.name.rsplit("-", 1)[0] for path in (tmp_path / "samples").iterdir()}
    assert kinds == {"camera", "dual", "swap-background", "swap-shape", "swap-texture"}


def test_tables_show_what_they_say() -> None:
    task = make_task()
    batch = make_batch(task, objects=3)
    tables = DisentanglePainter(batch)(task)
    assert tables["camera"].shape == (3, 3 * 16, 13 * 16)
    assert tables["dual"].shape == (3, 6 * 16, 12 * 16)
    swap = tables["swap-shape"]
    assert torch.equal(swap[:, :16, 16:32], batch.images[0, 1])  # heads of column and row
    assert torch.equal(swap[:, 16:32, :16], batch.images[0, 1])
    own = task.renderer.render(task.observe(batch)[:3].inputs)
    assert torch.allclose(swap[:, 32:48, 32:48], own[1], atol=1e-5)  # the diagonal is not swapped


def test_codes_of_another_generator_are_refused() -> None:
    codes = ViewCodes("toy", (0, 20), CODES.codes)
    with pytest.raises(GanverseError, match="another generator"):
        DisentangleTask(ToyGenerator(), codes, make_networks())


def test_rates_follow_the_two_stages() -> None:
    schedule = DisentangleSettings(warm_up_images=100, fine_tune_images=200)
    assert schedule.images == 300
    assert schedule.rates(0) == (schedule.mapping_rate, schedule.mapping_rate, schedule.fusion_rate, 0.0, 0.0)
    assert schedule.rates(99)[1] < 0.01 * schedule.mapping_rate
    start = schedule.rates(100)
    assert start[0] == 0, "g_v rests"
    assert replace(schedule, camera_factor=0.5).rates(100)[0] == pytest.approx(0.5 * schedule.mapping_rate)
    assert start[1] == pytest.approx(schedule.fine_tune_factor * schedule.mapping_rate)
    assert start[4] == schedule.synthesis_rate
    assert schedule.rates(300)[4] == pytest.approx(0)
    assert replace(schedule, warm_up_images=0).rates(0)[4] == schedule.synthesis_rate
