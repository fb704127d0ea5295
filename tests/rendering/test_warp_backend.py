"""Warp's kernels against the reference in float64, in both schedules: the CPU's and CUDA's, here on the CPU."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest
import torch
import warp as wp
from hypothesis import given, settings
from hypothesis import strategies as st

from ganverse.rendering import (
    reference,
    warp_backend,
    warp_kernels_image,
    warp_kernels_raster,
    warp_kernels_silhouette,
    warp_launch,
)
from ganverse.rendering.scene import Triangles
from ganverse.rendering.warp_backend import Schedule
from tests.rendering.agreement import Case, assert_warp_agrees, run
from tests.rendering.interpreter import run_python
from tests.rendering.random_scenes import rectangle, soup


def slivers() -> Triangles:
    scene = soup(9, faces=60, extent=0.5)
    scene.corners[:, :, 2] = torch.lerp(scene.corners[:, :, 0], scene.corners[:, :, 1], 0.4)
    scene.corners[:, :, 2] += 2e-3 * torch.randn(2, 60, 2, generator=torch.Generator().manual_seed(0))
    return scene


def degenerate() -> Triangles:
    scene = soup(8, faces=40)
    scene.corners[:, ::4] = scene.corners[:, ::4, :1]  # points
    scene.corners[:, 1::4, 2] = scene.corners[:, 1::4, 1]  # lines
    return scene


def grid_aligned() -> Triangles:
    corners = torch.cat(
        [rectangle(i / 4 - 1, j / 4 - 1, i / 4 - 0.75, j / 4 - 0.75) for i in range(8) for j in range(8)]
    )
    return Triangles(corners[None], -torch.ones(1, 128, 3), torch.rand(1, 128, 3, 2))


CASES = {
    "few large": Case(soup(1, faces=6, extent=1.0)),
    "many small": Case(soup(2, faces=600, extent=0.1), 64, 64),
    "wide image": Case(soup(3, extent=0.4), 17, 45),
    "tall image, one feature": Case(soup(4, extent=0.4, channels=1), 45, 17),
    "many features": Case(soup(5, channels=21)),
    "one pixel": Case(soup(6, extent=1.0), 1, 1),
    "huge": Case(soup(7, faces=12, extent=40.0)),
    "off-screen": Case(Triangles(soup(7).corners + 5, soup(7).z, soup(7).features)),
    "without area": Case(degenerate()),
    "slivers": Case(slivers()),
    "edges through pixel centers": Case(grid_aligned()),
    "wide silhouette": Case(soup(10, faces=100), sigmainv=300.0, boxlen=0.2),
    "more faces than knum": Case(soup(11, faces=300), sigmainv=500.0, boxlen=0.15, knum=4),
    "sharp silhouette": Case(soup(12), sigmainv=33333.0, boxlen=0.01),
}


@pytest.fixture(params=["cpu", "cuda"])
def schedule(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Schedule:
    monkeypatch.setattr(warp_backend, "_schedule", lambda tensor: request.param)
    return request.param


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_reference(name: str, schedule: Schedule) -> None:
    assert_warp_agrees(CASES[name])


scenes = st.builds(
    soup,
    st.integers(0, 2**31),
    batch=st.integers(1, 3),
    faces=st.integers(1, 60),
    extent=st.floats(0.01, 3.0),
    channels=st.integers(1, 5),
)
cases = st.builds(
    Case,
    scenes,
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    sigmainv=st.floats(100.0, 33333.0),
    boxlen=st.floats(0.0, 0.2),
    knum=st.integers(1, 100),
)


@settings(max_examples=40)
@given(case=cases, schedule=st.sampled_from(["cpu", "cuda"]))
def test_agrees_with_the_reference_on_whatever_comes(case: Case, schedule: Schedule) -> None:
    with mock.patch.object(warp_backend, "_schedule", return_value=schedule):
        assert_warp_agrees(case)


def test_random_scenes_show_the_same_faces(schedule: Schedule) -> None:
    wrong = pixels = 0
    for seed in range(20):
        scene = soup(100 + seed, batch=1, faces=50)
        found, expected = (backend.rasterize(scene, 40, 24).face_index for backend in (warp_backend, reference))
        wrong += int((found != expected).sum())
        pixels += expected.numel()
    assert wrong <= pixels // 10_000, "faces that cross may swap at one pixel"


def test_both_schedules_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = []
    for schedule in ("cpu", "cuda"):
        monkeypatch.setattr(warp_backend, "_schedule", lambda tensor, schedule=schedule: schedule)
        outcomes.append(run(warp_backend, CASES["more faces than knum"], torch.float32))
    for first, second in zip(*outcomes, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    case = Case(soup(20, batch=5, faces=80))
    before = torch.get_num_threads()
    outcomes = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            outcomes.append(run(warp_backend, case, torch.float32))
    finally:
        torch.set_num_threads(before)
    for other in outcomes[1:]:
        assert all(a.equal(b) for a, b in zip(outcomes[0], other, strict=True))


def test_batches_beyond_32_bit_places_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(soup(21, batch=4))
    whole = run(warp_backend, case, torch.float32)
    monkeypatch.setattr(warp_launch, "MOST_PLACES", 2 * 32 * 32 * 3)
    assert all(a.equal(b) for a, b in zip(whole, run(warp_backend, case, torch.float32), strict=True))


def test_both_at_once_are_the_two_primitives(schedule: Schedule) -> None:
    case = CASES["more faces than knum"]
    apart = run(warp_backend, case, torch.float32)
    corners, values = (t.clone().requires_grad_() for t in (case.scene.corners, case.scene.features))
    scene = case.scene._replace(corners=corners, features=values)
    drawn = warp_backend.rasterize(scene, case.height, case.width, case.settings)
    features, mask = drawn.features, drawn.mask
    assert mask is not None
    assert drawn.face_index.equal(apart.index)
    assert drawn.depth.equal(apart.depth)
    assert features.equal(apart.features)
    assert mask.equal(apart.mask)
    generator = torch.Generator().manual_seed(0)
    grads = [torch.randn(t.shape, generator=generator) for t in (features, mask)]
    of_features = torch.autograd.grad(features, (corners, values), grads[0], retain_graph=True)
    (of_mask,) = torch.autograd.grad(mask, corners, grads[1], retain_graph=True)
    of_both = torch.autograd.grad((features, mask), (corners, values), grads)
    assert of_features[0].equal(apart.grad_corners)
    assert of_features[1].equal(apart.grad_features)
    assert of_both[1].equal(apart.grad_features)
    assert of_mask.equal(apart.grad_corners_of_mask)
    torch.testing.assert_close(of_both[0], of_features[0] + of_mask)


def test_several_threads_of_the_program_may_draw_at_once() -> None:
    cases = [Case(soup(30 + i, batch=4), 24, 24) for i in range(4)]
    alone = [run(warp_backend, case, torch.float32) for case in cases]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(4) as callers:
            for _ in range(5):
                together = list(callers.map(lambda case: run(warp_backend, case, torch.float32), cases))
                for found, expected in zip(together, alone, strict=True):
                    assert all(a.equal(b) for a, b in zip(found, expected, strict=True))
    finally:
        torch.set_num_threads(before)


def test_gradients_reach_inputs_that_want_them_only() -> None:
    scene = soup(22)
    values = scene.features.clone().requires_grad_()
    features = warp_backend.rasterize(scene._replace(features=values, drawn=None), 16, 16).features
    features.sum().backward()
    assert values.grad is not None
    assert values.grad.sum().item() == pytest.approx(3 * (features.detach()[..., 0] != 0).sum().item(), rel=1e-4)


def test_no_gradient_at_all_is_no_error() -> None:
    scene = soup(23)
    corners = scene.corners.clone().requires_grad_()
    drawn = warp_backend.rasterize(scene._replace(corners=corners), 16, 16)
    (0 * corners.sum() + drawn.depth.sum()).backward()
    assert drawn.features.requires_grad


MEMORY = """
import torch
from benchmarks.memory import peak_megabytes
from benchmarks.renderer import ganverse_passes
from benchmarks.renderer_scene import ellipsoid_scene
torch.set_num_threads(1)
small, large = (ganverse_passes("warp", ellipsoid_scene(3, 8, size, torch.device("cpu"))) for size in (64, 512))
small.backward(small.forward())
print(peak_megabytes(lambda: large.backward(large.forward()), torch.device("cpu")))
"""


def test_eight_images_of_512_need_less_than_150_megabytes() -> None:
    peak = run_python("-c", MEMORY)
    assert peak == "None" or float(peak) < 150


PROCESSES = """
import os, sys, torch
from torch.utils.data import DataLoader, Dataset
from ganverse.rendering import rasterize
from tests.rendering.interpreter import run_python
from tests.rendering.random_scenes import soup

class Drawings(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        scene = soup(i, batch=2)
        return rasterize(24, 24, scene.z, scene.corners, scene.features, backend="warp")[1]

def rank(i, expected):
    assert Drawings()[i].equal(expected[i])

if __name__ == "__main__":
    torch.set_num_threads(2)  # a pool of threads is running when the process forks
    expected = torch.stack([Drawings()[i] for i in range(4)])
    for method in ("fork", "spawn"):
        loader = DataLoader(Drawings(), num_workers=1, multiprocessing_context=method, batch_size=None)
        assert torch.stack(list(loader)).equal(expected), method
    torch.multiprocessing.start_processes(rank, (expected,), nprocs=2, start_method="fork")  # spawn: as above
    print(Drawings()[3].equal(expected[3]))
"""


def test_workers_and_ranks_can_draw_forked_and_spawned(tmp_path: Path) -> None:
    script = tmp_path / "processes.py"  # spawned processes read it again
    script.write_text(PROCESSES)
    assert run_python(str(script)) == "True"


@pytest.mark.parametrize("architecture", [80, 90])
def test_kernels_compile_for_cuda_without_a_gpu(architecture: int, tmp_path: Path) -> None:
    for module in (warp_kernels_image, warp_kernels_raster, warp_kernels_silhouette):
        wp.compile_aot_module(module, arch=architecture, module_dir=str(tmp_path), use_ptx=True)
    written = sorted(tmp_path.glob("*.ptx"))
    assert len(written) == 3
    text = "".join(path.read_text() for path in written)
    assert f".target sm_{architecture}" in text
    by_face_or_pixel = "raster_forward interpolate_pixels raster_backward mark_tiles soft_forward soft_backward"
    for kernel in f"{by_face_or_pixel} images_forward images_backward".split():
        assert kernel in text


@pytest.mark.requires_cuda
def test_cuda_agrees_with_the_cpu() -> None:
    case = CASES["many small"]
    on_cpu = run(warp_backend, case, torch.float32)
    moved = Triangles._make(None if t is None else t.cuda() for t in case.scene)
    on_cuda = [t.cpu() for t in run(warp_backend, case._replace(scene=moved), torch.float32)]
    assert on_cuda[0].equal(on_cpu.index)
    for found, expected in zip(on_cuda[1:4], on_cpu[1:4], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
