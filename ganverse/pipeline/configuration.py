"""Settings from YAML files and the command line, typed by the frozen dataclasses that describe them."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from jsonargparse import ArgumentParser, Namespace

from ganverse.errors import GanverseError

CONFIGS = Path("configs")


@dataclass(frozen=True)
class Section:
    """A dataclass of settings in the configuration: below `key`, or at the top level if that is empty.

    skip: fields that are no settings here.
    """

    key: str
    settings: type
    skip: frozenset[str] = frozenset()


def packaged_config(name: str) -> Path:
    """A configuration file of the repository (configs/) or of the installed package (ganverse/configs/)."""
    package = Path(__file__).parent.parent
    for folder in (package.parent / CONFIGS, package / CONFIGS):
        if (folder / name).is_file():
            return folder / name
    raise GanverseError(f"expected the configuration {name} in {package.parent / CONFIGS}; install ganverse again")


def build_parser(prog: str, description: str, sections: Sequence[Section]) -> ArgumentParser:
    """A parser of all fields of all sections, with the help that their docstrings give."""
    parser = ArgumentParser(prog=prog, description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file of settings; flags after it win")
    for section in sections:
        parser.add_class_arguments(section.settings, section.key or None, skip=set(section.skip))
        _explain(parser, section.settings, f"{section.key}." if section.key else "")
    return parser


def parse(parser: ArgumentParser, arguments: Sequence[str], default_config: Path | None) -> Namespace:
    """Instantiated settings; without --config those of `default_config`, if there is one.

    Raises:
        GanverseError: unknown keys, wrong types, missing files; one sentence.
    """
    given = list(arguments)
    if default_config is not None and not any(argument.split("=")[0] == "--config" for argument in given):
        given = ["--config", str(default_config), *given]
    try:
        return parser.instantiate(parser.parse_args(given))
    except GanverseError:
        raise
    except (ArgumentError, TypeError, ValueError, OSError) as error:
        own = next((cause for cause in _chain(error) if isinstance(cause, GanverseError)), None)
        if own is not None:
            raise own from error
        raise GanverseError(_sentence(error, parser)) from error


def section_of(namespace: Namespace, section: Section) -> Any:
    """The dataclass of a section, out of what `parse` gave."""
    if section.key:
        return namespace[section.key]
    return section.settings(**{field.name: namespace[field.name] for field in fields(section.settings)})


def docstring_help(settings: type) -> dict[str, str]:
    """Field names and their explanations out of a dataclass docstring: "name: text. other, third: more text."."""
    text = " ".join((settings.__doc__ or "").split())
    names = "|".join(re.escape(field.name) for field in fields(settings))
    start = re.compile(rf"(?:(?<=^)|(?<=[.)] ))((?:{names})(?:, (?:{names}))*): ")
    found = list(start.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)] * bool(found)
    return {
        name: text[match.end() : end].strip().rstrip(".")
        for match, end in zip(found, ends, strict=True)
        for name in match[1].split(", ")
    }


def _explain(parser: ArgumentParser, settings: type, prefix: str) -> None:
    """Gives every option the sentence of its field, nested dataclasses included."""
    sentences = docstring_help(settings)
    actions = {action.dest: action for action in parser._actions}
    for name, hint in get_type_hints(settings).items():
        action = actions.get(prefix + name)
        if action is not None and name in sentences:
            action.help = sentences[name].replace("%", "%%")
        if isinstance(hint, type) and is_dataclass(hint):
            _explain(parser, hint, f"{prefix}{name}.")


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _sentence(error: Exception, parser: ArgumentParser) -> str:
    """What jsonargparse has to say, as one sentence: what was expected, what came, what to do."""
    text = " ".join(str(error).split())
    if match := re.search(r"unrecognized arguments: (\S+)|Option '([^']*)' is not accepted", text):
        return _unknown(match[1] or match[2], parser)
    if match := re.search(r"Group '([^']*)' does not accept option '([^']*)'", text):
        return _unknown(f"{match[1]}.{match[2]}", parser)
    if match := re.search(r'Parser key "config": (.*)', text):
        return f"expected a readable file behind --config, got: {match[1]}; correct the path"
    if match := re.search(r'Parser key "([^"]+)": (.*)', text):
        return f"expected {match[1]} to be {_plainer(match[2])}; correct it in the configuration or on the command line"
    if "must be a mapping" in text or text.startswith("Unexpected config"):
        return (
            "expected a configuration of `key: value` lines, nested where a setting has parts; compare it with configs/"
        )
    return f"the configuration cannot be read: {text}; see --help"


def _unknown(name: str, parser: ArgumentParser) -> str:
    """A setting that does not exist, and the one that may have been meant."""
    options = [action.dest for action in parser._actions]
    close = difflib.get_close_matches(name.split("=")[0].lstrip("-"), options, 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"expected a known setting, got {name}{hint}; see --help"


def _plainer(text: str) -> str:
    """ "a float, got x" out of "Expected a <class 'float'>. Got value: x", and the like for unions."""
    text = re.sub(r"<class '(?:[a-zA-Z_]+\.)*([A-Za-z]+)'>", r"\1", text).replace("typing.", "")
    text = re.sub(r"Does not validate .*?Subtypes: \[(.*)\] Errors: .* Given value: ", r"one of \1, got ", text)
    text = re.sub(r"(?:a |)Literal\[([^\]]*)\]", r"one of \1", text).replace("one of one of", "one of")
    return re.sub(r"\bExpected (.*)\. Got value: ", r"\1, got ", text)
