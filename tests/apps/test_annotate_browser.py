"""The annotation page as a person uses it, in headless Chromium."""

from __future__ import annotations

import io
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ganverse.apps.annotate import Desk, annotation_app, open_annotation
from ganverse.generators.weights import load_generator
from ganverse.pretrained import SHIPPED
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.proposal import circular_mean_and_spread, images_of_views
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims
from tests.apps.conftest import assert_fit_for_touch
from tests.apps.serving import serving
from tests.pipeline_toys import save_gan

pytestmark = pytest.mark.requires_browser

ROOT = Path(__file__).parent.parent.parent
RING = "CXZAQWERTGBV"
PICTURES = "GANVERSE_RENEW_SCREENSHOTS"


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gan(tmp_path_factory.mktemp("gan"))


def make_desk(gan: Path, file: Path, pool: int = 12) -> Desk:
    generator, card = load_generator(gan)
    return Desk(*open_annotation(generator, card.sha256, file, None), pool)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "views.yaml"


@pytest.fixture
def page(gan: Path, file: Path, context) -> Iterator:
    with serving(annotation_app(make_desk(gan, file), goal=39)) as url:
        yield opened(context, url)


def opened(context, url: str):
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(".column.current")
    return page


def seeds(page) -> list[int]:
    return [int(seed) for seed in page.eval_on_selector_all(".column", "all => all.map(one => one.dataset.seed)")]


def current(page) -> int:
    return int(page.get_attribute(".column.current", "data-seed"))


def press(page, keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def saved(page) -> None:
    page.wait_for_selector('#status[data-state="saved"]')


def test_39_codes_with_39_keys(gan: Path, file: Path, context) -> None:
    with serving(annotation_app(make_desk(gan, file, pool=42), goal=39)) as url:
        page = opened(context, url)
        order = seeds(page)
        keys = (RING * 4)[:39]
        press(page, keys)
        saved(page)
        page.wait_for_selector("#notice.good")
        assert page.text_content("#rate") == "1.0"  # keystrokes per code
        assert (page.text_content("#kept"), page.text_content("#bins")) == ("39", "12")
        assert current(page) == order[39]
    codes = ViewCodes.load(file).codes
    assert codes == tuple(ViewCode(seed, 30.0 * (k % 12)) for k, seed in enumerate(order[:39]))


def test_clicks_drops_and_undo(page, file: Path) -> None:
    first, second, third, *_ = seeds(page)
    page.click("#bin-3")
    page.click("#compass .drop")
    press(page, "Z")
    saved(page)
    views = ViewCodes.load(file, allow_empty=True)
    assert views.codes == (ViewCode(first, 90), ViewCode(third, 60))
    assert views.dropped == (second,)
    page.click("#undo")
    assert current(page) == third
    page.keyboard.press("Control+z")
    assert current(page) == second
    press(page, "G")
    saved(page)
    assert ViewCodes.load(file, allow_empty=True) == ViewCodes(
        views.generator, views.view_dims, (ViewCode(first, 90), ViewCode(second, 270))
    )


def test_looking_back_and_correcting(page, file: Path) -> None:
    first, second, *_ = seeds(page)
    press(page, "CE")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert current(page) == first
    assert page.locator("#bin-0.chosen").count() == 1
    press(page, "T")
    page.click(f'.column[data-seed="{second}"]')
    page.click("#drop")
    saved(page)
    views = ViewCodes.load(file, allow_empty=True)
    assert (views.codes, views.dropped) == ((ViewCode(first, 240),), (second,))


def test_guesses_come_first(gan: Path, file: Path, context) -> None:
    generator, card = load_generator(gan)
    codes = tuple(ViewCode(seed, 10.0 * seed) for seed in range(4))
    guessed = ViewCodes(card.sha256, layer_dims(generator.style_sizes, 2), codes, uncertain=(1, 3))
    guessed.save(file)
    with serving(annotation_app(make_desk(gan, file), goal=39)) as url:
        page = opened(context, url)
        assert "2 of these azimuths are guesses" in page.text_content("#notice")
        assert current(page) == 1
        assert page.text_content(".column.current p").strip() == "10°?"
        page.keyboard.press("Enter")  # right as it is
        assert "1 of these azimuths is a guess" in page.text_content("#notice")
        assert current(page) == 3
        press(page, "E")  # half a turn off
        saved(page)
        assert page.locator(".column.uncertain").count() == 0
        assert "All guesses are checked" in page.text_content("#notice")
        assert current(page) == seeds(page)[4], "then new candidates"
    views = ViewCodes.load(file, allow_empty=True)
    assert views.codes == (*codes[:3], ViewCode(3, 180))
    assert views.uncertain == ()


def test_fingers(gan: Path, file: Path, phone) -> None:
    """All that the keys do can be tapped."""
    generator, card = load_generator(gan)
    dims = layer_dims(generator.style_sizes, 2)
    ViewCodes(card.sha256, dims, (ViewCode(0, 10), ViewCode(1, 20)), uncertain=(0,)).save(file)
    with serving(annotation_app(make_desk(gan, file), goal=39)) as url:
        page = opened(phone, url)
        assert_fit_for_touch(page)
        order = seeds(page)
        page.tap("#keep")  # the guess
        assert current(page) == order[2]
        assert page.is_disabled("#keep")
        page.tap("#bin-9")
        page.tap("#compass .drop")
        page.tap("#undo")
        page.tap("#next")
        page.tap("#next")
        page.tap("#back")
        assert current(page) == order[4]
        page.tap("#drop")
        page.tap("#more")
        page.locator(".column").nth(len(order)).wait_for()
        saved(page)
    views = ViewCodes.load(file, allow_empty=True)
    assert views.codes == (ViewCode(0, 10), ViewCode(1, 20), ViewCode(order[2], 270))
    assert (views.dropped, views.uncertain) == ((order[4],), ())


def test_enter_presses_the_button_in_focus(page, file: Path) -> None:
    press(page, "C")
    page.keyboard.press("ArrowLeft")
    page.focus("#drop")
    page.keyboard.press("Enter")
    saved(page)
    assert ViewCodes.load(file, allow_empty=True).dropped == (seeds(page)[0],)


def test_errors_are_shown_in_the_page(page, file: Path) -> None:
    press(page, "C")
    saved(page)
    file.write_text("codes: 7")
    press(page, "A")
    page.get_by_text("Not saved: ").wait_for()
    page.reload()
    page.locator("#notice.bad").get_by_text("expected").wait_for()


def test_a_reload_goes_on(page, file: Path) -> None:
    order = seeds(page)
    press(page, "CDA")
    saved(page)
    page.reload()
    page.wait_for_selector(".column.current")
    assert current(page) == order[3]
    assert (page.text_content("#kept"), page.text_content("#dropped")) == ("2", "1")
    assert page.text_content("#rate") == "1.5"
    assert len(ViewCodes.load(file)) == 2


def test_more_candidates(page) -> None:
    before = seeds(page)
    press(page, "D" * len(before) + "M")
    page.locator(".column").nth(len(before)).wait_for()
    saved(page)
    assert current(page) == seeds(page)[len(before)]


def test_two_tabs_do_not_overwrite_each_other(page, file: Path) -> None:
    other = opened(page.context, page.url)
    first, second, *_ = seeds(page)
    press(page, "C")
    saved(page)
    press(other, "A")  # about the same candidate, which this tab still believes undecided
    other.wait_for_selector("#notice.bad")
    assert "another tab" in other.text_content("#notice").lower()
    saved(other)
    assert ViewCodes.load(file).codes == (ViewCode(first, 0),)
    assert "0°" in other.text_content(f'.column[data-seed="{first}"]')
    other.click(f'.column[data-seed="{second}"]')
    press(other, "A")
    saved(other)
    assert ViewCodes.load(file).codes == (ViewCode(first, 0), ViewCode(second, 90))


def test_an_editor_is_noticed(page, file: Path) -> None:
    first, second, *_ = seeds(page)
    press(page, "C")
    saved(page)
    file.write_text(file.read_text().replace("azimuth: 0}", "azimuth: 15}"))
    press(page, "A")
    page.wait_for_selector("#notice.bad")
    assert ViewCodes.load(file).codes == (ViewCode(first, 15),)
    page.click(f'.column[data-seed="{second}"]')
    press(page, "A")
    saved(page)
    assert ViewCodes.load(file).codes == (ViewCode(first, 15), ViewCode(second, 90))


def started(gan: Path, file: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    """`ganverse annotate` as its own process, and its address."""
    call = ["annotate", str(gan), "-o", str(file), "--pool", "8", "--port", str(port), "--no-browser"]
    program = [sys.executable, "-m", "ganverse", *call]
    process = subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
            return process, found[0]
    stop(process, signal.SIGKILL)
    raise AssertionError(f"no address from the server: {said}")


def stop(process: subprocess.Popen[str], how: signal.Signals) -> int:
    process.send_signal(how)
    assert process.stderr is not None
    process.stderr.close()
    return process.wait(timeout=60)


def test_a_killed_server_loses_no_key(gan: Path, file: Path, context) -> None:
    process, url = started(gan, file, 0)
    try:
        page = opened(context, url)
        order = seeds(page)
        press(page, "CX")
        saved(page)
    finally:
        stop(process, signal.SIGKILL)
    assert len(ViewCodes.load(file)) == 2
    press(page, "ZD")
    page.wait_for_selector('#status[data-state="unsaved"]')
    page.get_by_text("2 unsaved keys").wait_for()
    process, _ = started(gan, file, int(url.rstrip("/").rsplit(":", 1)[1]))
    try:
        saved(page)
        assert page.is_hidden("#notice")
        views = ViewCodes.load(file, allow_empty=True)
        assert [code.seed for code in views.codes] == order[:3]
        assert views.dropped == (order[3],)
    finally:
        status = stop(process, signal.SIGINT)
    assert status == 0


def test_the_picture_in_the_docs(gan: Path, context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With GANVERSE_RENEW_SCREENSHOTS=1 of the shipped GAN, into docs/figures."""
    monkeypatch.chdir(tmp_path)
    renew = bool(os.environ.get(PICTURES))
    weights = SHIPPED / "gan-car.safetensors" if renew else gan
    desk = make_desk(weights, Path("car-views.yaml"), pool=48 if renew else 12)
    with serving(annotation_app(desk, goal=39)) as url:
        page = opened(context, url)
        press(page, true_keys(weights, seeds(page)[:9]) if renew else "GD")
        saved(page)
        page.wait_for_load_state("networkidle")
        picture = Image.open(io.BytesIO(page.screenshot()))
    assert picture.size == (1440, 900)
    if renew:
        picture.convert("RGB").save(ROOT / "docs" / "figures" / "annotate.webp", quality=88, method=6)


def true_keys(weights: Path, wanted: list[int]) -> str:
    """The keys of an annotator who sees as the car pose regressor does, and drops every fifth code."""
    generator, _ = load_generator(weights)
    dims = layer_dims(generator.style_sizes, generator.view_layers)
    pictures = images_of_views(generator, dims, wanted)
    read = PoseRegressor.from_pretrained()
    means = [circular_mean_and_spread(read(objects).azimuth)[0] for objects in pictures]
    keys = [RING[round(math.degrees(mean) / 30) % 12] for mean in means]
    return "".join("D" if place % 5 == 3 else key for place, key in enumerate(keys))
