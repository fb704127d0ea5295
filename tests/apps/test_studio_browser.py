"""The studio as a person uses it, in headless Chromium."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import trimesh
from PIL import Image

from ganverse.apps.studio import open_stage, studio_app
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
    return dict(parse_qsl(urlsplit(page.url).fragment))


def drawn(page) -> None:
    """Waits until both pictures show the scene in the address."""
    page.wait_for_selector(f'body[data-drawn="{urlsplit(page.url).fragment}"]')


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
    assert "expected an image" in page.text_content("#notice")


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
    def download(link: str) -> bytes:
        with page.expect_download() as started:
            page.click(link)
        return Path(started.value.path()).read_bytes()

    with Image.open(io.BytesIO(download("#picture"))) as picture:
        assert picture.format == "PNG"
    with Image.open(io.BytesIO(download("#turntable"))) as turntable:
        assert turntable.n_frames == 36
    assert len(trimesh.load_scene(io.BytesIO(download("#glb")), file_type="glb").geometry) == 1


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
    page.fill("#azimuth", "100")
    page.get_by_text("The server does not answer").wait_for()
    with serving(studio_app(stage), int(url.rstrip("/").rsplit(":", 1)[1])):
        page.fill("#azimuth", "101")
        page.locator("#notice").wait_for(state="hidden")


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
