import base64
import io
import re

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from ganverse.evaluation.figures import Figure
from ganverse.evaluation.metrics import Score
from ganverse.evaluation.report import Report, html, summary_table, write_report
from ganverse.io import to_pil

REPORT = Report(
    scores={
        "gan/iou_input": Score(0.95, 0.93, 0.97, 100),
        "oracle/iou_3d": Score(0.5, 0.4, 0.6, 100),
        "world/chroma_gray": Score(0.056),
    },
    figures=[Figure("gan-views", "Views", "rows < columns", Image.new("RGB", (3, 2), (9, 8, 7)))],
    meshes={"gan-1.glb": b"glTF"},
    notes=["a <note>"],
)


def test_page_is_whole_and_offline(tmp_path) -> None:
    page = write_report(REPORT, tmp_path).read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "http" not in page.replace("http-equiv", "")
    assert not re.search(r"{[{%]", page)
    assert (tmp_path / "figures" / "gan-views.png").is_file()
    assert (tmp_path / "meshes" / "gan-1.glb").read_bytes() == b"glTF"
    assert base64.b64encode(b"glTF").decode() in page
    assert "rows &lt; columns" in page
    assert "a &lt;note&gt;" in page


def test_pictures_in_the_page_look_like_the_files_beside_it(tmp_path) -> None:
    shades = torch.linspace(0, 1, 96)
    picture = to_pil(torch.stack([shades.expand(96, -1), shades[:, None].expand(-1, 96), torch.full((96, 96), 0.5)]))
    report = Report(figures=[Figure("gan-views", "Views", "shades", picture)])
    page = write_report(report, tmp_path).read_text(encoding="utf-8")
    (data,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    shown = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    assert Image.open(tmp_path / "figures" / "gan-views.png").tobytes() == picture.tobytes()
    difference = np.abs(np.asarray(shown, float) - np.asarray(picture, float))
    assert difference.mean() < 2
    assert difference.max() < 16


def test_page_tells_reached_from_missed_and_covered_from_not() -> None:
    page = html(REPORT)
    assert re.search(r'<tr class="reached"><td><code>gan/iou_input', page)
    assert re.search(r'<tr class="missed"><td><code>oracle/iou_3d', page)
    assert re.search(r'<tr class="aside"><td><code>world/chroma_gray', page)
    assert "0.930 .. 0.970" in page
    assert "≥ 0.88" in page
    assert "stylegan_r/" not in page
    assert "gan/iou_unseen" not in page


def test_page_opens_with_a_verdict() -> None:
    page = html(REPORT)
    assert "1 of 2 targets reached" in page
    assert page.index('<li class="reached"><b>0.950</b>') < page.index('<li class="missed"><b>0.500</b>')
    assert page.index('class="tiles"') < page.index("All numbers")


def test_terminal_table_lists_what_is_there() -> None:
    text = _printed(140)
    assert "gan/iou_input" in text
    assert "0.950" in text
    assert "2D IoU" in text
    assert "gan/iou_unseen" not in text
    assert len(_printed(80).splitlines()) == len(REPORT.scores) + 7, "a line per number, no more"


def _printed(width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(summary_table(REPORT.scores, console.width))
    return console.export_text()
