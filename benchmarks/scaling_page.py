"""Writes docs/scaling.md: `python -m benchmarks.scaling_page`. Words from scaling_page.md, numbers from the model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scaling_costs import PictureCosts
from benchmarks.scaling_model import (
    A100,
    BATCH,
    ENCODE,
    GPUS,
    IMAGES,
    KEPT,
    OBJECTS,
    PAPER_GPUS,
    PAPER_HOURS,
    PICTURES,
    VIEWS,
    VIEWS_EACH,
    all_reduce,
    generation_hours,
    load_costs,
    memory,
    paper_hours,
    read_rate,
    step,
    training_hours,
)

WORDS = Path(__file__).with_suffix(".md")
PAGE = Path(__file__).parent.parent / "docs" / "scaling.md"
TURNS = Path(__file__).with_name("scaling.json")


def page() -> str:
    """The whole page."""
    machine, costs = load_costs()
    every = list(costs.values())
    tables = {
        "measured": _measured(every),
        "assumed": _assumed(),
        "generation": _generation(every),
        "training": _training(every),
        "parts": _parts(every),
        "memory": _memory(every),
        "traffic": _traffic(every),
        "shards": _shards(every),
    }
    turns = json.loads(TURNS.read_text(encoding="utf-8"))
    tables |= {"processes": _processes(turns["stages"]), "turns_machine": turns["machine"]}
    tables["turn_pictures"] = turns["stages"][0]["images"]
    words = WORDS.read_text(encoding="utf-8")
    return words.format(machine=machine, **tables, **_sizes(), **_findings(every[0], every[-1]))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def figures(value: float) -> str:
    """Two significant digits, and thousands apart."""
    if value >= 100:
        return f"{round(value, 2 - len(str(int(value)))):,.0f}"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _sizes() -> dict[str, str]:
    return {
        "objects": f"{OBJECTS:,}",
        "views_each": str(VIEWS_EACH),
        "images": f"{IMAGES:,}",
        "pictures": f"{PICTURES:,}",
        "batch": str(BATCH),
        "pictures_at_64": f"{64 * BATCH:,}",
        "steps_at_64": f"{PICTURES // (64 * BATCH):,}",
        "objects_per_step": str(16 // VIEWS),
        "shown": f"{PICTURES / IMAGES:.1f}",
        "cores": str(A100.cores),
        "paper_gpus": str(PAPER_GPUS),
        "paper_hours": figures(PAPER_HOURS),
    }


def _findings(small: PictureCosts, large: PictureCosts) -> dict[str, str]:
    """What the sentences quote, for the smallest and the largest size on 64 GPUs."""
    found = {}
    for name, costs in (("small", small), ("large", large)):
        one = step(costs, 64)
        shares = {
            "generate": one.generate,
            "network": one.network,
            "perceptual": one.perceptual,
            "render": one.render,
            "launch": one.launch,
            "reduce": one.all_reduce,
        }
        found |= {f"{name}_{what}": f"{figures(100 * part / one.seconds)} %" for what, part in shares.items()}
        found |= {name: str(costs.size), f"{name}_draw": figures(costs.draw.cpu_ms)}
        found[f"{name}_decode"] = figures(costs.decode.cpu_ms)
    found["paper_model"] = figures(paper_hours(large))
    found["paper_factor"] = figures(PAPER_HOURS / paper_hours(large))
    last = step(large, 64)
    return found | {"draw_room": figures(last.seconds / last.cpu)}


def _measured(every: Sequence[PictureCosts]) -> str:
    rows = []
    for c in every:
        timed = [f"{figures(p.cpu_ms)} ms, {figures(p.flops / 1e9)}" for p in (c.generator, c.network, c.perceptual)]
        rest = [f"{figures(p.cpu_ms)} ms" for p in (c.render, c.draw, c.decode)]
        rows.append([c.size, *timed, *rest, f"{figures(c.stored_bytes / 1e3)} KB"])
    return table(["px", "generator", "network", "perceptual", "render", "noise", "decode", "stored"], rows)


def _assumed() -> str:
    c = A100
    rows = [
        ("peak", f"{c.peak / 1e12:.0f} TFLOP/s", "bfloat16, dense: data sheet of the NVIDIA A100 80 GB SXM"),
        ("share of it reached", f"{c.efficiency:.0%}", "convolutions of few channels; a guess between 0.15 and 0.4"),
        ("memory", f"{c.memory / 1e9:.0f} GB", "the same data sheet"),
        ("rasterizer", f"{c.renderer:.0f} CPU threads", "a guess; it hardly matters, see the parts of a step"),
        ("all-reduce in a node", f"{c.inside / 1e9:.0f} GB/s", "about what nccl-tests report for 8 A100 on NVSwitch"),
        ("between nodes of 8", f"{c.between / 1e9:.0f} GB/s", "one 200 Gbit/s network card, 80 % of it"),
        ("launches", f"{1000 * c.launch:.0f} ms a step", "Python and some 1000 kernels; a guess"),
        ("CPU cores", f"{c.cores} a GPU", "usual"),
        (
            "object storage",
            f"{c.objects / 1e9:.1f} GB/s a node",
            "six connections of 85 MB/s, as S3's guidelines have it",
        ),
        ("writing a PNG file", f"{ENCODE:g} x reading it", "a guess"),
        ("kept by the filter", f"{KEPT:.0%}", "a run's manifest states its own"),
        ("overlap", "none", "DDP does overlap all-reduce and backward: a real step is shorter"),
    ]
    return table(["what", "value", "why"], rows)


def _generation(every: Sequence[PictureCosts]) -> str:
    rows = []
    for c in every:
        hours = [figures(generation_hours(c, gpus)) for gpus in GPUS]
        rows.append([c.size, f"{figures(IMAGES * c.stored_bytes / 1e9)} GB", *hours])
    return table(["px", "on disk", *_gpus()], rows)


def _training(every: Sequence[PictureCosts]) -> str:
    rows = []
    for c in every:
        efficiency = step(c, 1).seconds / step(c, 64).seconds
        rows.append([c.size, *(figures(training_hours(c, gpus)) for gpus in GPUS), f"{efficiency:.0%}"])
    return table(["px", *_gpus(), "efficiency at 64"], rows)


def _parts(every: Sequence[PictureCosts]) -> str:
    names = ("generate", "network", "perceptual", "render", "all_reduce", "launch")
    rows = [[c.size, *(figures(1000 * getattr(step(c, 64), name)) for name in names)] for c in every]
    return table(["px", "making pictures", "network", "perceptual", "render", "all-reduce", "launches"], rows)


def _memory(every: Sequence[PictureCosts]) -> str:
    rows = []
    for c in every:
        parts = memory(c)
        others = sum(parts.values()) - parts["backward"]
        fit = (A100.memory - others) / (parts["backward"] / BATCH)
        sizes = [figures(size / 1e9) for size in (*parts.values(), sum(parts.values()))]
        rows.append([c.size, *sizes, figures(fit)])
    heads = ["px", "training state", "kept for backward", "frozen networks", "generator at work", "sum"]
    return table([*heads, f"pictures that fit into {A100.memory / 1e9:.0f} GB"], rows)


def _traffic(every: Sequence[PictureCosts]) -> str:
    rows, sizes = [], (2, 8, 16, 64)
    for c in every:
        gradient = 4.0 * c.network_parameters
        times = [f"{figures(1000 * all_reduce(gradient, gpus))} ms" for gpus in sizes]
        reads = [f"{figures(read_rate(c, gpus) / 1e6)} MB/s" for gpus in (8, 64)]
        rows.append([c.size, f"{figures(gradient / 1e6)} MB", *times, *reads])
    heads = ["px", "gradient", *(f"all-reduce, {gpus} GPU" for gpus in sizes)]
    return table([*heads, "reading shards, 8 GPU", "64 GPU"], rows)


def _shards(every: Sequence[PictureCosts]) -> str:
    rows = []
    for c in every:
        trained = [training_hours(c, 8), training_hours(c, 8, shards=True), generation_hours(c, 8)]
        copied = IMAGES * c.stored_bytes / A100.objects / 3600
        share = read_rate(c, 8) / A100.objects
        rows.append([c.size, *(f"{figures(hours)} h" for hours in (*trained, copied)), f"{figures(100 * share)} %"])
    heads = [
        "px",
        "from the stream, 8 GPU",
        "from shards, 8 GPU",
        "writing the shards, 8 GPU",
        "copying them to a node",
    ]
    return table([*heads, "object storage used"], rows)


def _processes(stages: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            one["stage"],
            *(f"{one[side]:.1f}" for side in ("threads", "processes")),
            f"{one['ratio']:.2f}",
            f"{one['low']:.2f} .. {one['high']:.2f}",
            one["rounds"],
        )
        for one in stages
    ]
    sides = ["one process, two threads: images/s", "two processes, one thread each: images/s"]
    return table(["stage", *sides, "ratio", "quartiles", "rounds"], rows)


def _gpus() -> list[str]:
    return [f"{gpus} GPU" for gpus in GPUS]


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
