"""Settings dataclasses from command-line flags and YAML files; user errors become one sentence."""

from __future__ import annotations

import argparse
import difflib
import re
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, set_parsing_settings

from ganverse.errors import GanverseError

# help texts come from the string literals below the fields
set_parsing_settings(docstring_parse_attribute_docstrings=True)


class CommandParser(argparse.ArgumentParser):
    """Parser for a command with few flags; user errors raise GanverseError."""

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing the usage and exiting."""
        raise GanverseError(f"expected arguments as in `{self.prog} --help`, got: {message}")


def parse_settings(prog: str, description: str, arguments: Sequence[str], *settings: type) -> list[Any]:
    """Parses one instance of every dataclass in `settings`; flags are its fields, `--config FILE.yaml` sets several.

    Raises:
        GanverseError: an unknown flag, a wrong type, a missing file, or a value that a dataclass refuses.
    """
    parser = ArgumentParser(prog=prog, description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file of settings; later flags win.")
    for one in settings:
        parser.add_class_arguments(one)
    with one_sentence([action.dest for action in parser._actions]):
        given = parser.instantiate(parser.parse_args(list(arguments)))
        return [one(**{field.name: given[field.name] for field in fields(one)}) for one in settings]


@contextmanager
def one_sentence(known: Sequence[str] = ()) -> Iterator[None]:
    """Converts jsonargparse's errors into a GanverseError; known: names of settings, for suggestions."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise GanverseError(
            "expected UTF-8 text in the settings file, got another encoding; save it as UTF-8"
        ) from error
    except (ArgumentError, TypeError, ValueError) as error:
        own = next((cause for cause in _causes(error) if isinstance(cause, GanverseError)), None)
        if own is None and not isinstance(error, ArgumentError):
            raise
        raise own or GanverseError(_sentence(error, known)) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _sentence(error: Exception, known: Sequence[str]) -> str:
    """jsonargparse's error as one sentence of bounded length."""
    text = " ".join(str(error).split())
    text = re.sub(r"<class '(?:[a-zA-Z_]+\.)*([A-Za-z]+)'>", r"\1", text).replace("typing.", "")
    if match := re.search(r"[Uu]nrecognized arguments: --([\w.]+)|Option '([\w.]+)' is not accepted", text):
        name = match[1] or match[2]
        close = difflib.get_close_matches(name, known, 1)
        return f"expected a known setting, got {name}{f' (did you mean {close[0]}?)' if close else ''}; see --help"
    return f"expected settings as in --help, got: {text if len(text) <= 400 else f'{text[:400]} ...'}"
