"""The page about scaling is what the script writes, and the model behind it behaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scaling_costs import Part, measure
from benchmarks.scaling_model import (
    A100,
    BATCH,
    GPUS,
    PICTURES,
    all_reduce,
    generation_hours,
    load_costs,
    memory,
    read_rate,
    step,
    training_hours,
)
from benchmarks.scaling_page import PAGE, figures, page

COSTS = load_costs()[1]
SIZES = sorted(COSTS)


def test_the_page_is_written_by_the_script() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m benchmarks.scaling_page"
    assert SIZES == [64, 128, 256, 512]


@pytest.mark.parametrize("size", SIZES)
def test_more_gpus_help_but_never_more_than_in_proportion(size: int) -> None:
    hours = [training_hours(COSTS[size], gpus) for gpus in GPUS]
    assert hours == sorted(hours, reverse=True)
    assert all(first <= gpus * now * (1 + 1e-9) for first, gpus, now in zip(hours[:1] * 7, GPUS, hours, strict=True))
    assert generation_hours(COSTS[size], 8) == pytest.approx(generation_hours(COSTS[size], 1) / 8)


def test_larger_pictures_cost_more() -> None:
    for cost in (lambda c: training_hours(c, 8), lambda c: generation_hours(c, 8), lambda c: sum(memory(c).values())):
        values = [cost(COSTS[size]) for size in SIZES]
        assert values == sorted(values)
        assert values[-1] > 2 * values[0]


def test_a_step_is_the_sum_of_its_parts() -> None:
    costs = COSTS[64]
    one = step(costs, 1)
    assert one.all_reduce == 0
    assert one.seconds == pytest.approx(one.generate + one.network + one.render + one.perceptual + one.launch)
    assert one.network == pytest.approx(BATCH * costs.network.flops / (312e12 * 0.25))
    assert training_hours(costs, 1) == pytest.approx(PICTURES / BATCH * one.seconds / 3600)
    slow = replace(costs, draw=Part(1e6))
    assert step(slow, 1).seconds == step(slow, 1).cpu > 1, "a GPU waits for what the CPU draws"


def test_the_ring() -> None:
    assert all_reduce(1e9, 1) == 0
    assert all_reduce(1e9, 8) == pytest.approx(2 * 7 / 8 / 230)
    assert all_reduce(1e9, 64) == pytest.approx(2 * 7 / 8 / 230 + 2 * 7 / 8 / 20)
    assert all_reduce(1e9, 8, replace(A100, inside=460e9)) == pytest.approx(all_reduce(1e9, 8) / 2)


def test_shards_spare_the_generator_and_are_read() -> None:
    costs = COSTS[512]
    assert step(costs, 8, shards=True).generate == 0
    assert training_hours(costs, 8, shards=True) < training_hours(costs, 8)
    assert read_rate(costs, 8) == pytest.approx(8 * BATCH * costs.stored_bytes / step(costs, 8, shards=True).seconds)


def test_numbers_are_rounded_to_what_they_are_worth() -> None:
    assert [figures(value) for value in (0.0123, 4.56, 45.6, 456.0, 45_678.0)] == [
        "0.012",
        "4.6",
        "46",
        "460",
        "46,000",
    ]


def test_costs_are_measured() -> None:
    costs = measure(64, rounds=1)
    stored = COSTS[64]
    for name in ("generator", "network", "perceptual", "segmenter"):
        assert getattr(costs, name).flops == getattr(stored, name).flops, "operations do not depend on the machine"
        assert getattr(costs, name).cpu_ms > 0
    assert costs.network.saved_bytes == pytest.approx(stored.network.saved_bytes, rel=0.01)
    assert costs.stored_bytes == stored.stored_bytes
