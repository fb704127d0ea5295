"""docs/import.md: its lines run, its numbers are true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from ganverse import cli
from ganverse.importing.pickles import NAMES
from tests.importing.test_round_trips import WHOLE
from tests.importing_toys import rosinality_content, stylegan2, torch_saved

PAGE = (Path(__file__).parents[2] / "docs" / "import.md").read_text()


def test_checking_an_official_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section = PAGE[PAGE.index("## Check an official file") :]
    (command,) = re.findall(r"^ganverse (import-gan .*)$", section, re.M)
    (program,) = re.findall(r"<<'END'\n(.*?)\nEND", section, re.S)
    arguments = [word.replace("512x384", "16x12") for word in shlex.split(command)]
    Path(arguments[1]).write_bytes(torch_saved(rosinality_content(stylegan2(), training=False)))
    assert cli.main(arguments) == 0
    exec(program, {})  # noqa: S102 - the page's own lines, the way a reader runs them
    with Image.open("cars.png") as picture:
        assert picture.size == (4 * 18 + 2, 2 * 14 + 2)


def test_numbers_on_the_page() -> None:
    assert f"{len(NAMES)} names that these files need" in PAGE
    for file in re.findall(r"`(tests/[a-z0-9_/]+\.py)`", PAGE):
        assert (Path(__file__).parents[2] / file).is_file(), file


def test_every_round_trip_is_a_line_of_the_table() -> None:
    table = PAGE[PAGE.index("## Round trips") : PAGE.index("## Tests")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", table, re.M)]
    images = {row[0]: row[3] for row in rows[2:]}
    assert {re.sub(r"(protocol) \d", r"\1 2 to 5", kind) for kind in WHOLE} <= images.keys()
    assert all(float(image.split(",")[0]) < 1e-5 for image in images.values())


def test_every_option_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["import-gan", "--help"])
    for option in set(re.findall(r"--[a-z][a-z0-9-]+", capsys.readouterr().out)) - {"--help", "--output"}:
        assert option in PAGE, option
