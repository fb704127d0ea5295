"""Settings from the command line and YAML: fields of dataclasses as flags, mistakes as one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from ganverse.errors import GanverseError

# help texts come from the string literals below the fields of the settings
set_parsing_settings(docstring_parse_attribute_docstrings=True)


def parse_settings(prog: str, description: str, classes: Sequence[type], arguments: Sequence[str]) -> list[Any]:
    """One instance of every dataclass, from the flags `--FIELD VALUE` and from the YAML file of `--config`.

    Raises:
        GanverseError: unknown flags, values of the wrong type or out of range, a file that cannot be read.
    """
    parser = ArgumentParser(prog=prog, description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file of settings; flags after it win")
    for settings in classes:
        parser.add_class_arguments(settings)
    with one_sentence():
        given = parser.instantiate_classes(parser.parse_args(list(arguments)))
        return [cls(**{name: given[name] for name in cls.__dataclass_fields__}) for cls in classes]


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turns what jsonargparse complains about into a GanverseError."""
    try:
        yield
    except (ArgumentError, TypeError, ValueError) as error:
        own = next((cause for cause in _chain(error) if isinstance(cause, GanverseError)), None)
        if own is None and not isinstance(error, ArgumentError):
            raise
        raise own or GanverseError(_sentence(error)) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _sentence(error: Exception) -> str:
    """The complaint in one line of bounded length."""
    text = " ".join(str(error).split())
    text = re.sub(r"<class '(?:[a-zA-Z_]+\.)*([A-Za-z]+)'>", r"\1", text).replace("typing.", "")
    text = text if len(text) <= 400 else f"{text[:400]} ..."
    return f"expected known settings of the right type, got: {text}; see --help"
