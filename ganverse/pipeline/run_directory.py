"""`runs/<name>/`: one folder per stage, what it was asked for, and whether it is done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from ganverse.errors import GanverseError
from ganverse.io import write_atomically

CONFIG, TEACHERS, DONE = "config.yaml", "teachers.json", "done.json"
PLACE_AND_PACE = ("run", "trainer", "minutes")
"""Parts of a configuration that may change between two calls: where, how fast, and how long on the clock."""


@dataclass(frozen=True)
class StageFolder:
    """The folder of one stage; everything the stage leaves lies in it."""

    path: Path

    @property
    def finished(self) -> bool:
        """Whether the stage has come to its end."""
        return (self.path / DONE).is_file()

    @property
    def facts(self) -> dict[str, Any]:
        """What `finish` noted down."""
        facts: dict[str, Any] = json.loads((self.path / DONE).read_text(encoding="utf-8"))
        return facts

    def begin(self, config: Any, teachers: Mapping[str, str]) -> None:
        """Makes the folder and notes what is asked for, or checks that the stage goes on with what it began with.

        config: the stage's dataclass. teachers: sha256 of the weights it learns from, by name.

        Raises:
            GanverseError: the folder holds a stage of another configuration or of other weights.
        """
        asked = plain(config)
        if (self.path / CONFIG).is_file() and (self.path / TEACHERS).is_file():
            # A setting that did not exist yet when the stage began had what is its default now.
            stored = yaml.safe_load((self.path / CONFIG).read_text(encoding="utf-8"))
            _compare(dict(leaves(plain(type(config)()))) | dict(leaves(stored)), dict(leaves(asked)), self.path)
            _compare(json.loads((self.path / TEACHERS).read_text(encoding="utf-8")), plain(teachers), self.path)
        text = "# Written by ganverse; train.py takes it back with --config.\n" + yaml.safe_dump(asked, sort_keys=False)
        write_atomically(self.path / CONFIG, text.encode())
        write_atomically(self.path / TEACHERS, (json.dumps(dict(teachers), indent=2) + "\n").encode())

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Marks the stage as done."""
        write_atomically(self.path / DONE, (json.dumps(dict(facts), indent=2) + "\n").encode())

    def wait(self, seconds: float = 3600.0) -> None:
        """Waits until another process has finished the stage (only the first process writes files).

        Raises:
            GanverseError: it does not.
        """
        end = time.monotonic() + seconds
        while not self.finished:
            if time.monotonic() > end:
                raise GanverseError(f"expected the first process to finish {self.path}, waited {seconds:.0f} s in vain")
            time.sleep(0.2)


def plain(value: Any) -> Any:
    """Settings as YAML knows them: mappings, lists, strings, numbers, null."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings."""
    if not isinstance(value, dict):
        yield key, value
        return
    for name, item in value.items():
        yield from leaves(item, f"{key}.{name}" if key else name)


def _compare(stored: Mapping[str, Any], asked: Mapping[str, Any], folder: Path) -> None:
    """Both by dotted key."""
    old, new = (
        {key: value for key, value in config.items() if key.split(".")[0] not in PLACE_AND_PACE}
        for config in (stored, asked)
    )
    changed = [key for key in {**old, **new} if old.get(key, "nothing") != new.get(key, "nothing")]
    if changed:
        key = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise GanverseError(
            f"expected {folder} to go on with the settings it began with, got {key}={new.get(key, 'nothing')} instead "
            f"of {old.get(key, 'nothing')}{more}; choose another --run or delete that folder"
        )
