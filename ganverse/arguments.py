"""Settings dataclasses from a command line and YAML files; a user's mistake is one sentence."""

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
    """The parser of a command with a few flags; a user's mistake is a GanverseError."""

    def error(self, message: str) -> NoReturn:
        """Instead of argparse's usage and exit."""
        raise GanverseError(f"expected arguments as in `{self.prog} --help`, got: {message}")


def parse_settings(prog: str, description: str, arguments: Sequence[str], *settings: type) -> list[Any]:
    """One instance of every dataclass of `settings`: their fields are the flags, `--config FILE.yaml` sets several.

    Raises:
        GanverseError: unknown flags, wrong types, missing files, or values that a dataclass refuses.
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
    """Turns what jsonargparse complains about into a GanverseError; known: names of settings, to suggest one."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise GanverseError(
            "expected UTF-8 text in the file of settings, got another encoding; save it as UTF-8"
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
    """What jsonargparse complains about, as one sentence of bounded length."""
    text = " ".join(str(error).split())
    text = re.sub(r"<class '(?:[a-zA-Z_]+\.)*([A-Za-z]+)'>", r"\1", text).replace("typing.", "")
    if match := re.search(r"[Uu]nrecognized arguments: --([\w.]+)|Option '([\w.]+)' is not accepted", text):
        name = match[1] or match[2]
        close = difflib.get_close_matches(name, known, 1)
        return f"expected a known setting, got {name}{f' (did you mean {close[0]}?)' if close else ''}; see --help"
    return f"expected settings as in --help, got: {text if len(text) <= 400 else f'{text[:400]} ...'}"
