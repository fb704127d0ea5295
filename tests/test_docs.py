"""The pages of docs/: links lead somewhere, and a link that is a name leads to the file that defines it."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from ganverse.pretrained import SHIPPED, read_card

ROOT = Path(__file__).parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
ELSEWHERE = ("http", "mailto", "#", "../../actions/")  # the last: GitHub's page of the CI, beside the repository
LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")


def _tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = _tables()


def links(page: Path) -> list[tuple[str, str]]:
    """Text and target of every link that stays inside the repository."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    return [(words, target) for words, target in LINK.findall(text) if not target.startswith(ELSEWHERE)]


def defined_in(path: Path) -> set[str]:
    """Top-level names of a module, and `Class.method`."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def heading_links(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for words, target in links(page):
        path, _, heading = target.partition("#")
        found = (page.parent / path).resolve()
        assert found.exists(), f"{page.name}: [{words}]({target})"
        assert not heading or heading in heading_links(found), f"{page.name}: {target} has no such heading"


def test_concepts_link_to_the_code_they_name() -> None:
    named = [(words, target) for words, target in links(ROOT / "docs" / "concepts.md") if target.endswith(".py")]
    assert len(named) > 40
    for words, target in named:
        module = (ROOT / "docs" / target).resolve()
        known = defined_in(module) | {module.name, "car world"}
        assert words in known, f"{target} defines no {words}"


def test_every_page_is_in_a_table_of_contents() -> None:
    """What Sphinx would find only when the site is built."""
    listed = {
        (page.parent / line).resolve()
        for page in PAGES
        for block in re.findall(r"```\{toctree\}(.*?)```", page.read_text(encoding="utf-8"), re.S)
        for line in block.split()
    }
    pages = {page.with_suffix("") for page in (ROOT / "docs").rglob("*.md")}
    assert pages - {ROOT / "docs" / "index"} <= listed


def test_notebooks_hold_no_output() -> None:
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells), path.name


def test_numbers_go_into_the_cards_of_the_weights_they_judge(tmp_path: Path) -> None:
    for card in SHIPPED.glob("*-car.json"):
        (tmp_path / card.name).write_bytes(card.read_bytes())
    score = {"value": 0.123456789, "low": 0.1, "high": None, "count": 7}
    owners = {
        "gan/azimuth_spread_deg": "gan-car",
        "gan/lpips_input": "inverse-car",
        "world/iou_3d": "inverse-car",
        "oracle/identity_height": "oracle-car",
        "stylegan_r/swap_shape_iou": "stylegan-r-car",
        "edits/l1_read": "stylegan-r-car",
    }
    tables.write_cards({"perceptual": "some-weights", "scores": dict.fromkeys(owners, score)}, tmp_path)
    for key, owner in owners.items():
        written = json.loads((tmp_path / f"{owner}.json").read_text())["evaluation"][key]
        named = {"perceptual": "some-weights"} if "lpips" in key else {}
        assert written == {"value": 0.12346, "low": 0.1, "high": None, "count": 7, **named}
    for card in tmp_path.iterdir():
        assert read_card(card) == read_card(SHIPPED / card.name), "the facts stay"


def test_tables_are_those_of_the_weights() -> None:
    """`python docs/tables.py` fills them."""
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert tables.filled(text) == text
        assert text.count("| `") > 5


def test_equation_one_has_the_papers_weights() -> None:
    """The sentence in concepts.md against configs/paper."""
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    weights = re.search(r"L = ([\d.]+)\\,L_{col} \+ ([\d.]+)\\,L_{percept} \+ ([\d.]+)\\,L_{IoU}", page).groups()
    config = (ROOT / "configs" / "paper" / "car-inverse.yaml").read_text()
    for name, weight in zip(("color", "perceptual", "silhouette"), weights, strict=True):
        assert float(re.search(rf"^ +{name}: ([\d.]+)", config, re.M)[1]) == float(weight)
