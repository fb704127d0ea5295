"""Sphinx: `make docs` builds docs/ and the notebooks of examples/ into build/docs, strictly and without a network."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import unwrap
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import ganverse  # noqa: E402

# Sphinx reads pages below docs/ only.
shutil.copytree(
    ROOT / "examples",
    ROOT / "docs" / "examples",
    ignore=lambda _, names: [n for n in names if not n.endswith(".ipynb")],
    dirs_exist_ok=True,
)

project, author, release = "ganverse", "The ganverse contributors", ganverse.__version__
copyright = "the ganverse contributors, Apache-2.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.linkcode", "sphinx_copybutton"]
exclude_patterns = ["**/__pycache__"]

html_theme = "furo"
html_title = "ganverse"
html_favicon = "../ganverse/apps/pages/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"  # browsers render it themselves; MathJax would come from another host

myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_merge_streams = True

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "imported-members": True}
napoleon_numpy_docstring = False
copybutton_exclude = ".linenos, .gp, .go"

# Pages of the repository that are pages of the site under another name.
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
SOURCES: set[str] = set()  # files of the package that a page links to


def source_link(path: str, name: str = "") -> str:
    """The site's page of a source file, at the line that defines `name`."""
    SOURCES.add(path)
    line = _lines(path).get(name)
    return f"source/{path.removesuffix('.py')}.html" + (f"#line-{line}" if line else "")


def _lines(path: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        for child in (node, *getattr(node, "body", ())):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                owner = "" if child is node else f"{getattr(node, 'name', '')}."
                found[owner + child.name] = child.lineno
    return found


def link_sources(app: Sphinx, page: str, text: list[str]) -> None:
    """Relative links out of docs/ lead to pages of the site: GitHub and the site read the same Markdown."""
    up = "../" * page.count("/")

    def replaced(match: re.Match[str]) -> str:
        words, path, heading = match.group(1), match.group(2), match.group(3) or ""
        if path.endswith(".py"):
            return f'<a href="{up}{source_link(path, words.strip("`"))}">{words}</a>'
        return f"[{words}]({up}{PAGES.get(path, path)}{heading})"

    if page.startswith("examples/"):
        text[0] = text[0].replace("](../docs/", "](../")
    text[0] = re.sub(rf"\[([^\]]+)\]\({up}\.\./([\w./-]+)(#[\w-]+)?\)", replaced, text[0])


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Where [source] of an API entry leads."""
    found: Any = import_module(info["module"])
    for part in info["fullname"].split("."):
        found = getattr(found, part, None)
    module = getattr(unwrap(found) if callable(found) else found, "__module__", None)
    if not module or not module.startswith("ganverse"):
        return None
    path = module.replace(".", "/")
    file = f"{path}.py" if (ROOT / f"{path}.py").is_file() else f"{path}/__init__.py"
    return "../" + source_link(file, getattr(found, "__qualname__", ""))


def list_fields(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Lines `field: meaning` of a docstring become a list."""
    if what == "attribute" and lines:
        lines[0] = f":{lines[0]}"  # or napoleon would take what stands before a colon for a type
    inside = False
    for number, line in enumerate(lines):
        if match := re.match(r"((?:[a-z_]+, )*[a-z_]+): (.*)", line):
            start = "" if inside else "\n"
            lines[number], inside = f"{start}* ``{match[1]}``: {match[2]}", True
        elif inside and line.strip():
            lines[number] = f"  {line}"
        else:
            inside = False
    lines[:] = "\n".join(lines).split("\n")


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    """One highlighted page per file that something links to."""
    formatter = HtmlFormatter(lineanchors="line")
    for path in sorted(SOURCES):
        body = highlight((ROOT / path).read_text(encoding="utf-8"), PythonLexer(), formatter)
        yield f"source/{path.removesuffix('.py')}", {"title": path, "body": f"<h1>{path}</h1>{body}"}, "page.html"


def visit_math(self: Any, node: nodes.Element) -> None:
    """Formulas as MathML."""
    block = isinstance(node, nodes.math_block)
    self.body.append(tex2mathml(node.astext(), as_block=block))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    for package in {Path(file).parent for file in (ROOT / "ganverse").glob("**/__init__.py")}:
        module = import_module(".".join(package.relative_to(ROOT).parts))
        for name in getattr(module, "__all__", ()):  # lazy names must be there for autodoc to see them
            setattr(module, name, getattr(module, name))
    app.connect("source-read", link_sources)
    app.connect("autodoc-process-docstring", list_fields, priority=400)  # before napoleon
    app.connect("html-collect-pages", source_pages)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
