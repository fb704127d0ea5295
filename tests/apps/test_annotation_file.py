"""The annotation file: decisions, what was dropped, and who else has changed it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ganverse.apps.annotate import AnnotationFile, Decision, decide
from ganverse.errors import GanverseError
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes

EMPTY = ViewCodes("gan", (0, 1, 2), ())


def decided(*decisions: Decision) -> ViewCodes:
    views = EMPTY
    for decision in decisions:
        views = decide(views, decision)
    return views


def test_the_last_decision_counts() -> None:
    views = decided(Decision(5, 30), Decision(6, 60), Decision(7, drop=True), Decision(5, 90), Decision(6, drop=True))
    assert views.codes == (ViewCode(5, 90),)
    assert views.dropped == (7, 6)
    assert decide(views, Decision(7, 0)).codes == (ViewCode(5, 90), ViewCode(7, 0))
    assert decide(views, Decision(7, 0)).dropped == (6,)
    assert decide(views, Decision(5)).codes == ()
    with pytest.raises(GanverseError, match="both"):
        Decision(1, 30, drop=True)


def test_round_trip_and_what_others_read(tmp_path: Path) -> None:
    path = tmp_path / "views.yaml"
    file = AnnotationFile(path, EMPTY)
    assert file.read().name == ""
    file.write(decided(Decision(3, drop=True)))
    assert AnnotationFile(path, EMPTY).read().views.dropped == (3,)
    with pytest.raises(GanverseError, match="at least one view code"):
        ViewCodes.load(path)
    views = decided(Decision(3, drop=True), Decision(4, 45.5))
    file.write(views)
    assert file.read().views == views
    assert views.sha256 == ViewCodes("gan", (0, 1, 2), (ViewCode(4, 45.5),)).sha256, "dropped seeds change no picture"


def test_guesses_are_certain_once_decided(tmp_path: Path) -> None:
    path = tmp_path / "views.yaml"
    guessed = ViewCodes("gan", (0, 1), (ViewCode(4, 10), ViewCode(5, 20), ViewCode(6, 30)), uncertain=(4, 6))
    guessed.save(path)
    assert "uncertain: [4, 6]" in path.read_text()
    assert guessed.sha256 == ViewCodes("gan", (0, 1), guessed.codes).sha256, "uncertain seeds change no picture"
    views = ViewCodes.load(path)
    assert views == guessed
    assert decide(views, Decision(4, 190)).uncertain == (6,)
    assert decide(views, Decision(6, drop=True)).uncertain == (4,)
    assert decide(views, Decision(5, 90)).uncertain == (4, 6)


def test_every_change_has_another_name(tmp_path: Path) -> None:
    file = AnnotationFile(tmp_path / "views.yaml", EMPTY)
    first = file.write(decided(Decision(1, 30)))
    assert file.read().name == first.name
    text = file.path.read_text()
    file.path.write_text(text.replace("azimuth: 30", "azimuth: 60"))
    edited = file.read()
    assert edited.name != first.name
    assert edited.views.codes == (ViewCode(1, 60),)


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "views.yaml"
    ViewCodes("gan", (0, 1), (ViewCode(1, 0),)).save(path)
    with pytest.raises(GanverseError, match="same dimensions"):
        AnnotationFile(path, EMPTY)
    with pytest.raises(GanverseError, match="generator other"):
        AnnotationFile(path, replace(EMPTY, generator="other"))
    path.write_text("codes: [")
    with pytest.raises(GanverseError, match="YAML"):
        AnnotationFile(path, EMPTY)


@pytest.mark.parametrize("line", ["dropped: 3", "dropped: [-1]", "dropped: [1]", "uncertain: 3", "uncertain: [x]"])
def test_broken_lists_of_seeds(tmp_path: Path, line: str) -> None:
    path = tmp_path / "views.yaml"
    ViewCodes("gan", (0,), (ViewCode(1, 0),)).save(path)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(GanverseError, match=r"views\.yaml"):
        ViewCodes.load(path, allow_empty=True)
