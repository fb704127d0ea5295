"""The studio as a person uses it, in headless Chromium."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import trimesh
from PIL import Image

from ganverse.apps.studio import open_stage, studio_app
from tests.apps.conftest import assert_fit_for_touch
from tests.apps.serving import serving
from tests.apps.studio_toys import make_stage, photo_file

pytestmark = pytest.mark.requires_browser

ROOT = Path(__file__).parent.parent.parent
RENEW = "GANVERSE_RENEW_SCREENSHOTS"


@pytest.fixture
def page(context) -> Iterator:
    with serving(studio_app(make_stage())) as url:
        yield opened(context, url)


def opened(context, url: str):
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("body[data-drawn]")
    return page


def scene(page) -> dict[str, str]:
    return dict(parse_qsl(page.evaluate("location.hash.slice(1)")))  # page.url lags behind


def drawn(page) -> None:
    """Waits until both pictures show the scene in the address."""
    for _ in range(600):  # the page's policy forbids wait_for_function its eval
        if page.evaluate("document.body.dataset.drawn === location.hash.slice(1)"):
            return
        page.wait_for_timeout(100)
    raise AssertionError("the pictures do not show the scene in the address")


def pictures(page) -> tuple[str, str]:
    return page.get_attribute("#mesh img", "src"), page.get_attribute("#neural img", "src")


def test_dragging_scrolling_and_keys_turn_both_pictures(page) -> None:
    before, start = pictures(page), scene(page)
    box = page.locator("#neural").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - box["width"] / 4, y + box["height"] / 12, steps=5)
    page.mouse.up()
    drawn(page)
    assert float(scene(page)["azimuth"]) == pytest.approx(float(start["azimuth"]) + 45, abs=1)
    assert float(scene(page)["elevation"]) == pytest.approx(float(start["elevation"]) + 15, abs=1)
    turned = pictures(page)
    assert turned[0] != before[0]
    assert turned[1] != before[1]
    page.mouse.wheel(0, -200)
    page.focus("#mesh")
    page.keyboard.press("ArrowRight")
    drawn(page)
    assert float(scene(page)["azimuth"]) == pytest.approx(float(start["azimuth"]) + 35, abs=1)
    assert float(scene(page)["scale"]) > 1.1
    page.click("#reset")
    drawn(page)
    assert scene(page) == start
    assert pictures(page) == before


def test_sliders(page) -> None:
    for name, value in (("azimuth", "200"), ("elevation", "30"), ("scale", "1.3")):
        before = pictures(page)
        page.fill(f"#{name}", value)
        drawn(page)
        assert scene(page)[name] == value
        assert pictures(page)[0] != before[0]
        assert value in page.text_content(f'output[for="{name}"]')


def test_parts_are_swapped_one_by_one_and_a_reload_keeps_them(page) -> None:
    def take(part: str, name: str) -> None:
        page.check(f'#parts input[value="{part}"]', force=True)
        page.click(f'#gallery [data-name="{name}"]')
        drawn(page)

    before = pictures(page)
    take("texture", "1")
    textured = pictures(page)
    assert textured[0] != before[0]
    take("background", "2")
    assert pictures(page)[0] != textured[0]
    expected = {"shape": "0", "texture": "1", "background": "2"}
    assert {part: scene(page)[part] for part in expected} == expected
    assert page.locator('#gallery [data-name="1"] .dot.texture').count() == 1
    swapped = pictures(page)
    page.reload()
    drawn(page)
    assert pictures(page) == swapped
    take("all", "1")
    assert {scene(page)[part] for part in expected} == {"1"}


def test_another_sample_and_a_photo(page) -> None:
    page.click("#sample")
    page.locator('#gallery [data-name="3"]').wait_for()
    drawn(page)
    assert scene(page)["shape"] == "3"
    page.set_input_files("#file", {"name": "car.png", "mimeType": "image/png", "buffer": photo_file()})
    page.locator('#gallery [data-name^="photo-"]').wait_for()
    drawn(page)
    assert scene(page)["texture"].startswith("photo-")
    page.set_input_files("#file", {"name": "text.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.locator("#notice.bad").wait_for()
    assert "its format is unknown" in page.text_content("#notice"), "nothing of Python's"
    page.fill("#azimuth", "90")
    page.locator("#notice").wait_for(state="hidden")


def test_fingers(phone) -> None:
    """One turns, two scale, taps swap; no mouse, no keyboard."""
    with serving(studio_app(make_stage())) as url:
        page = opened(phone, url)
        assert_fit_for_touch(page)
        start, box = scene(page), page.locator("#mesh").bounding_box()
        x, y, width = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"]
        screen = phone.new_cdp_session(page)

        def fingers(kind: str, *places: tuple[float, float]) -> None:
            points = [{"x": x + a * width, "y": y + b * width, "id": finger} for finger, (a, b) in enumerate(places)]
            screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        fingers("touchStart", (0, 0))
        fingers("touchMove", (-0.1, 0))
        fingers("touchMove", (-0.25, 0))
        fingers("touchEnd")
        drawn(page)
        assert float(scene(page)["azimuth"]) == pytest.approx(float(start["azimuth"]) + 45, abs=2)
        turned = scene(page)
        fingers("touchStart", (-0.1, 0), (0.1, 0))
        fingers("touchMove", (-0.12, 0), (0.12, 0))
        fingers("touchMove", (-0.14, 0), (0.14, 0))
        fingers("touchEnd")
        drawn(page)
        assert float(scene(page)["scale"]) == pytest.approx(1.4, abs=0.05)
        assert scene(page)["azimuth"] == turned["azimuth"], "two fingers do not turn"
        page.tap("#parts label:nth-child(3)")
        page.tap('#gallery [data-name="2"]')
        drawn(page)
        assert (scene(page)["texture"], scene(page)["shape"]) == ("2", "0")
        page.tap("#reset")
        drawn(page)
        assert scene(page)["scale"] == "1"


def test_the_page_says_what_it_waits_for(context) -> None:
    stage, go = make_stage(), threading.Event()
    show, sample = stage.show, stage.sample
    stage.show = lambda look: go.wait(60) and show(look)
    stage.sample = lambda: go.wait(60) and sample()
    with serving(studio_app(stage)) as url:
        page = context.new_page()
        page.goto(url)
        page.get_by_text("rendering …", exact=True).wait_for()
        assert page.locator(".view p:visible").all_text_contents() == ["Rendering …"] * 2
        page.click("#sample")
        page.get_by_text("Sampling another object").wait_for()
        assert page.is_disabled("#sample")
        go.set()
        page.locator('#gallery [data-name="3"]').wait_for()
        for place in range(2):
            page.locator(".view p").nth(place).wait_for(state="hidden")
        page.locator("#notice").wait_for(state="hidden")
        page.get_by_text("rendered in ").wait_for()


def test_a_photo_can_be_dropped(page) -> None:
    transfer = page.evaluate_handle(
        """bytes => { const all = new DataTransfer();
        all.items.add(new File([new Uint8Array(bytes)], "car.png", { type: "image/png" })); return all; }""",
        list(photo_file()),
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    assert "dropping" in page.get_attribute("body", "class")
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    page.locator('#gallery [data-name^="photo-"]').wait_for()


def test_downloads(page) -> None:
    def download(name: str) -> bytes:
        with page.expect_download() as started:
            page.click(f'#downloads [data-file="{name}"]')
        assert started.value.suggested_filename == name
        return Path(started.value.path()).read_bytes()

    with Image.open(io.BytesIO(download("picture.png"))) as picture:
        assert picture.format == "PNG"
    with Image.open(io.BytesIO(download("turntable.gif"))) as turntable:
        assert turntable.n_frames == 36
    assert len(trimesh.load_scene(io.BytesIO(download("object.glb")), file_type="glb").geometry) == 1


def test_without_stylegan_r_the_page_says_how_to_train_it(context) -> None:
    with serving(studio_app(make_stage(neural=False))) as url:
        page = opened(context, url)
        assert "python train.py" in page.text_content("#missing")
        assert page.is_visible("#missing")
        mesh, neural = pictures(page)
        assert mesh.startswith("data:image/png")
        assert neural is None


def test_a_server_that_is_gone_and_comes_back(context) -> None:
    stage = make_stage()
    with serving(studio_app(stage)) as url:
        page = opened(context, url)
    port = int(url.rstrip("/").rsplit(":", 1)[1])
    page.fill("#azimuth", "100")
    page.get_by_text("The server does not answer").wait_for()
    with serving(studio_app(stage), port):
        page.locator("#notice").wait_for(state="hidden")  # without a reload
        drawn(page)
    page.click('[data-file="object.glb"]')
    page.get_by_text("The server does not answer").wait_for()
    assert page.is_enabled('[data-file="object.glb"]')
    with serving(studio_app(make_stage(objects=1)), port):  # started again, it has other objects
        page.click('#gallery [data-name="2"]')
        page.get_by_text("expected the name of an object in the gallery, got '2'").wait_for()
        page.reload()
        page.wait_for_selector("body[data-drawn]")
        assert scene(page)["shape"] == "0"


def test_the_pictures_in_the_docs(context) -> None:
    """One scene changed step by step; with GANVERSE_RENEW_SCREENSHOTS=1 of the shipped weights, into docs/figures."""
    renew = bool(os.environ.get(RENEW))
    stage = open_stage() if renew else make_stage(objects=5)
    with serving(studio_app(stage)) as url:
        page = opened(context, url + "#azimuth=50&elevation=14")
        page.set_viewport_size({"width": 1440, "height": 740})
        shots = [shot(page)]
        for part, name in (("texture", "4"), ("background", "2")):
            page.check(f'#parts input[value="{part}"]', force=True)
            page.click(f'#gallery [data-name="{name}"]')
            shots.append(shot(page))
        page.fill("#azimuth", "230")
        shots.append(shot(page))
    assert len({picture.tobytes() for picture in shots}) == 4
    if renew:
        shots[2].save(ROOT / "docs" / "figures" / "studio.webp", quality=88, method=6)
        strip = Image.new("RGB", (1440, 740))
        for place, picture in enumerate(shots):
            strip.paste(picture.resize((720, 370), Image.Resampling.LANCZOS), (720 * (place % 2), 370 * (place // 2)))
        strip.save(ROOT / "docs" / "figures" / "studio-strip.webp", quality=88, method=6)


def shot(page) -> Image.Image:
    drawn(page)
    page.wait_for_load_state("networkidle")
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")
