"""Packages whose names are imported when they are first used, so that `import ganverse` costs milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` (PEP 562) of a package.

    Args:
        package: `__name__` of the package.
        homes: public names and the modules they live in.
    """

    def getattr_(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return getattr_, lambda: sorted(homes), sorted(homes)
