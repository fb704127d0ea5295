"""The package as a whole: versions, dependencies and their reasons, who may import whom, file lengths."""

import ast
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from jaxtyping import TypeCheckError
from packaging.requirements import Requirement
from packaging.version import Version

import ganverse
from ganverse.geometry.cameras import Cameras

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ganverse"
MODULES = sorted(PACKAGE.rglob("*.py"))
PYPROJECT = ROOT / "pyproject.toml"

# Who may import whom inside ganverse: a layer sees itself, what stands here, and the top-level modules that everybody
# may see (SHARED). Layers that are not listed stand on top and see everything: apps, the command line (cli.py and the
# rooms' own command.py) and the package itself, which imports lazily.
BASE = {"geometry", "generators", "rendering", "viewpoints", "masks"}
NETWORKS = {"inverse", "neural_renderer", "worlds"}
MAY_IMPORT = {
    "geometry": set(),
    "generators": set(),
    "importing": {"generators"},
    "rendering": {"geometry"},
    "masks": {"generators"},
    "viewpoints": {"geometry", "generators", "masks"},
    "export": {"geometry"},
    "inverse": {"geometry", "rendering"},
    "worlds": {"geometry", "rendering"},
    "neural_renderer": BASE | {"inverse"},
    "reconstruction": BASE | {"inverse", "neural_renderer", "export"},
    "data": BASE | NETWORKS,
    "training": {"geometry", "masks"},
    "evaluation": BASE | NETWORKS | {"data", "export", "reconstruction"},
    "tasks": BASE | NETWORKS | {"data", "training", "evaluation", "export"},
}
SHARED = {
    *("errors", "io", "pretrained", "distributed", "random_streams", "devices", "arguments", "batch", "augmentation"),
    *("_lazy", "model_cards"),
}
KNOWS_LIGHTNING = {"tasks", "data", "training"}
WEB_FRAMEWORKS = {
    *("starlette", "fastapi", "uvicorn", "flask", "aiohttp", "tornado"),
    *("gradio", "streamlit", "http.server", "socketserver"),
}
# Distributions whose modules are called otherwise.
ALSO_IN = {"lightning_fabric"}  # in the wheel of pytorch-lightning
MODULE_OF = {"pillow": "PIL", "pyyaml": "yaml", "warp-lang": "warp", "usd-core": "pxr"}
LINE_LIMIT = 500
# Names that pyproject.toml's oldest Python, 3.10, lacks; what the linters of a newer Python cannot see.
NEWER_THAN_310 = {
    *("tomllib", "enum.StrEnum", "datetime.UTC", "contextlib.chdir", "itertools.batched", "hashlib.file_digest"),
    *("typing.Self", "typing.Never", "typing.assert_never", "typing.LiteralString", "typing.override"),
    *("typing.NotRequired", "typing.Required", "typing.Unpack", "typing.TypeVarTuple"),
}


@cache
def project() -> dict:
    return tomllib.loads(PYPROJECT.read_text())["project"]


def requirements(*extras: str) -> list[Requirement]:
    lines = list(project()["dependencies"])
    for extra in extras or project()["optional-dependencies"]:
        lines += project()["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> dict[str, Version]:
    lines = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1].isalnum()]
    return {normalized(line.name): Version(str(line.specifier).removeprefix("==")) for line in lines}


def layer(path: Path) -> str:
    """The folder or the module directly below ganverse that a file belongs to; a room's command is the command line."""
    if path.stem == "command":
        return "cli"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports(path: Path) -> frozenset[str]:
    """Absolute names of all modules that a file imports, anywhere in it, and of what it takes from them."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inner_imports(path: Path) -> set[str]:
    """The layers of ganverse that a file imports; `__init__` stands for the package itself."""
    names = {name.split(".")[1] for name in imports(path) if name.startswith("ganverse.")}
    return {name for name in names if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()}


def test_one_version_everywhere() -> None:
    assert "version" in project()["dynamic"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == ganverse.__version__
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == ganverse.__version__


def test_every_dependency_has_a_bound_and_a_reason() -> None:
    lines = {}
    for line in PYPROJECT.read_text().splitlines():
        if match := re.fullmatch(r'  "([A-Za-z][^"]*)",(.*)', line):
            lines.setdefault(match[1], match[2])
    extras = project()["optional-dependencies"].values()
    for requirement in [*project()["dependencies"], *(line for extra in extras for line in extra)]:
        assert re.fullmatch(r"  # .{15,}", lines[requirement]), f"no reason beside {requirement}"
        bounded = Requirement(requirement).specifier or requirement.startswith("ganverse[")
        assert bounded, f"no bound on {requirement}"


def test_constraints_lie_within_the_bounds() -> None:
    pinned = constraints()
    for requirement in requirements("apps", "test", "dev"):
        name = normalized(requirement.name)
        if name == "ganverse" or (requirement.marker and not requirement.marker.evaluate()):
            continue
        assert name in pinned, f"constraints.txt does not pin {name}"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} against {pinned[name]}"


def test_constraints_pin_whatever_these_packages_bring_along() -> None:
    """The lock file is whole: everything that is installed here because ganverse asks for it stands in it."""
    pinned, seen = constraints(), {"ganverse"}
    waiting = [line for line in requirements("apps", "test", "dev") if normalized(line.name) != "ganverse"]
    while waiting:
        name = normalized((asked := waiting.pop()).name)
        extras = asked.extras or {""}
        if name in seen or not any(asked.marker is None or asked.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        assert name in pinned, f"constraints.txt lacks {name}, which {asked} brings"
        needs = [Requirement(line) for line in found.requires or ()]
        waiting += [n for n in needs if any(n.marker is None or n.marker.evaluate({"extra": e}) for e in extras)]
    assert len(seen) > 60


def test_the_kaolin_extra_refuses_the_placeholder() -> None:
    (kaolin,) = project()["optional-dependencies"]["kaolin"]
    assert not Requirement(kaolin).specifier.contains("0.1")


def test_kaolin_image_installs_all_that_the_package_asks_for() -> None:
    lines = (ROOT / "docker" / "kaolin-requirements.txt").read_text().splitlines()
    listed = {normalized(Requirement(line).name) for line in lines if line[:1].isalnum()}
    asked = {normalized(Requirement(line).name) for line in project()["dependencies"]}
    assert listed == asked - {"torch", "torchvision"}


def test_only_declared_packages_are_imported() -> None:
    known = sys.stdlib_module_names | ALSO_IN | {"ganverse"}
    for path in MODULES:
        extras = ("kaolin", "hub", "usd", "rembg", *(("apps",) if layer(path) == "apps" else ()))
        declared = {MODULE_OF.get(r.name, r.name.replace("-", "_")) for r in requirements(*extras)}
        undeclared = {name.split(".")[0] for name in imports(path)} - declared - known
        assert undeclared == set(), f"{path.relative_to(ROOT)}: declare it in pyproject.toml, with a reason"


def test_imports_point_one_way() -> None:
    for path in MODULES:
        here = layer(path)
        if here in MAY_IMPORT:
            above = inner_imports(path) - MAY_IMPORT[here] - SHARED - {here}
            assert above == set(), f"{path.relative_to(ROOT)} looks up; see MAY_IMPORT"


def test_lightning_stays_above_the_networks() -> None:
    for path in MODULES:
        found = {name.split(".")[0] for name in imports(path)} & {"pytorch_lightning", "lightning", *ALSO_IN}
        assert found == set() or layer(path) in KNOWS_LIGHTNING, path.relative_to(ROOT)


def test_only_apps_know_a_web_framework() -> None:
    for path in MODULES:
        found = {part for name in imports(path) for part in (name, name.split(".")[0])} & WEB_FRAMEWORKS
        assert found == set() or layer(path) == "apps", path.relative_to(ROOT)


def test_oldest_python_has_what_is_imported() -> None:
    assert project()["requires-python"] == ">=3.10"
    for path in MODULES:
        assert imports(path) & NEWER_THAN_310 == set(), path.relative_to(ROOT)


def test_no_layer_imports_itself_in_a_circle() -> None:
    below: dict[str, set[str]] = {}
    for path in MODULES:
        below.setdefault(layer(path), set()).update(inner_imports(path) - {layer(path)})
    while below:
        free = {name for name, needs in below.items() if not needs & below.keys()}
        assert free, f"a circle among {sorted(below)}"
        below = {name: needs for name, needs in below.items() if name not in free}


def test_no_file_is_long() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > LINE_LIMIT} == {}


def test_import_is_light() -> None:
    program = (
        "import sys, time; start = time.process_time(); import ganverse; "
        "print(time.process_time() - start, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, torch_came_along = done.stdout.split()
    assert float(seconds) < 1
    assert torch_came_along == "False"


def test_annotations_are_checked_in_tests() -> None:
    """The import hook of conftest.py is at work: shapes that disagree are refused."""
    with pytest.raises(TypeCheckError):
        Cameras(*(torch.zeros(count) for count in (2, 2, 3)), offset=torch.zeros(2, 2))
