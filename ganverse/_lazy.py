"""Lazy packages: names are imported on first use, so that `import ganverse` takes milliseconds."""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def lazy_exports(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` (PEP 562) for the names a package imports under `if TYPE_CHECKING:`.

    Args:
        package: `__name__` of the package.
        file: `__file__` of the package.
    """
    blocks = [block.body for block in ast.parse(Path(file).read_bytes()).body if isinstance(block, ast.If)]
    imports = [line for block in blocks for line in block if isinstance(line, ast.ImportFrom)]
    homes = {alias.name: str(line.module) for line in imports for alias in line.names}

    def getattr_(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return getattr_, lambda: sorted(homes), sorted(homes)
