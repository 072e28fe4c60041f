from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from gancompress.report import ExportFacts, Report, headline_lines
from gancompress.report.grid import sample_grid
from gancompress.report.write import write_report
from tests.report.example import BARE, FULL

VOID = {"meta", "img", "wbr", "br"}
HOSTILE = "</td></style><script>alert('x')</script>\"' | `$x_2$` & {{ 7 * 7 }}\n# not a heading"


class Page(HTMLParser):
    """What a browser would see: the text, the addresses it would load, and whether elements close in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


def written(report: Report, directory: Path) -> tuple[str, str]:
    paths = write_report(report, directory)
    assert [path.name for path in paths] == ["report.html", "report.md", "report.json"]
    return paths[0].read_text(encoding="utf-8"), paths[1].read_text(encoding="utf-8")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    sample_grid({"input": torch.zeros(1, 3, 8, 8)}, tmp_path / "samples.png")
    return tmp_path


def test_every_fact_is_on_the_page_and_in_markdown(directory: Path):
    html, markdown = written(FULL, directory)
    words = Page(html).words
    both = [
        *(
            "Labels to photos",
            "10.0×",
            "fewer MACs",
            "25.9×",
            "25.9 times faster than the original",
            "11.4 M",
            "1.14 M",
            "45.5 MB",
            "4.55 MB",
            "49.6 G",
            "4.95 G",
        ),
        *(
            "56.8 G",
            "5.70 G",
            "5.71 G",
            "52.9",
            "5.31",
            "46.9 MB",
            "11.7 MB",
            "80 ms",
            "79.0 – 88.0 ms",
            "15.5 – 18.2 ms",
        ),
        *("int8 where it pays", "2.03 (1.96 to 2.11)", "4.62", "31.4", "best"),
        *("64_128_256", "16_32_64", "24.21", "25.03", "24.10 – 26.20", "41.80", "38.20", "3.6 worse", "0.08730"),
        *(
            "clean resizing",
            "11 classes",
            "higher is better",
            "1x3x256x256",
            "One seed.",
            "exports/model.fastest.onnx",
            "4.60 MB",
        ),
        *("7.5e-06", 'session = ort.InferenceSession("model.onnx")', "8_8", "31.00", "5.50 G", "distil the student"),
        *(
            "4,000",
            "8 min 32 s",
            "7.81",
            "From the most important channels.",
            "4.2 s",
            "two cores",
            "lab",
            "task: paired",
        ),
        *("not recorded", "not measured", "no interval"),
    ]
    for text in both:
        assert text in words, text
        assert text.replace("\u00a0", " ") in markdown, text
    assert "N\u00a0=\u00a0500" in words
    assert "N = 500" in markdown
    assert "![Input, teacher and compressed](samples.png)" in markdown
    assert {"G_recon", "D"} <= set(words.split())
    assert html.count("<svg") == 2 + 4 + 2  # the front wide and narrow, its legend, two losses
    content = json.loads((directory / "report.json").read_text())
    assert Report.from_json(content) == FULL
    assert content.pop("headline") == headline_lines(FULL)
    assert content == FULL.to_json()


def test_the_page_needs_nothing_else(directory: Path):
    html, _ = written(FULL, directory)
    page = Page(html)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert [source[:22] for source in page.values("src")] == ["data:image/png;base64,"]
    assert all(reference.startswith("#") for reference in page.values("href") + page.values("xlink:href"))
    assert not re.search(r"https?://|@import|url\((?!#)", html)


def test_the_page_is_accessible(directory: Path):
    page = Page(written(FULL, directory)[0])
    identifiers = page.values("id")
    assert len(identifiers) == len(set(identifiers))
    assert set(page.values("aria-labelledby")) <= set(identifiers)
    assert page.values("alt") == ["Sample grid: Input, teacher and compressed"]
    assert page.tags.count("th") == len(page.values("scope"))
    assert "en" in page.values("lang")


def test_missing_values_are_said_and_not_guessed(tmp_path: Path):
    html, markdown = written(BARE, tmp_path)
    for text in (Page(html).words, markdown):
        for said in ("not measured", "No samples", "This job had no search.", "No steps", "Nothing was exported."):
            assert said in text
        assert "no metric measured for both networks" in text
        assert not re.search(r"\b(None|nan|nan%)\b", text)


def test_a_lost_sample_grid_is_named(tmp_path: Path):
    for text in written(FULL, tmp_path):
        assert "The sample grid samples.png was not found." in text


@pytest.mark.parametrize(
    "report",
    [
        replace(FULL, networks=[]),
        replace(FULL, networks=FULL.networks[:1]),
        replace(FULL, search=replace(FULL.search, candidates=[])),
        replace(FULL, search=replace(FULL.search, budget=None)),
    ],
    ids=["no network", "teacher alone", "empty search", "no budget"],
)
def test_incomplete_reports_are_written(report: Report, directory: Path):
    Page(written(report, directory)[0])


def test_hostile_text_stays_text(directory: Path):
    def hostile(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            facts = key in {"environment", "metrics", "latency_ms"}
            return {HOSTILE if facts else name: hostile(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [hostile(inner, key) for inner in value]
        return (
            HOSTILE if isinstance(value, str) and key != "better" and value not in {"teacher", "compressed"} else value
        )

    content = hostile(FULL.to_json())
    content["steps"][0]["losses"] = [[1, {HOSTILE: 1.0}], [2, {HOSTILE: 2.0}]]
    html, markdown = written(Report.from_json(content), directory)
    page = Page(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert "& 49" not in page.words
    assert page.words.count("{{ 7 * 7 }}") > 15
    outside_code = re.sub(r"^(`{3,}).*?^\1$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in outside_code
    assert "\n# not" not in outside_code
    columns = [len(re.findall(r"(?<!\\)\|", line)) for line in outside_code.splitlines() if line.startswith("| ")]
    assert set(columns) <= {3, 4, 5, 6, 7}  # the tables' own bars only
    assert [path.name for path in directory.iterdir() if path.name.startswith(".")] == []


def test_a_file_that_was_not_compared_says_why(directory):
    file = ExportFacts("coreml", "exports/model.mlpackage", 4_600_000, None, "", not_compared="it runs elsewhere")
    page, markdown = written(replace(FULL, exports=[file]), directory)
    for text in (" ".join(Page(page).words.split()), markdown):
        assert "not compared with PyTorch: it runs elsewhere" in text
        assert "largest difference from PyTorch" not in text


def test_equal_images_have_no_infinite_figure_and_the_best_file_stands_out(directory):
    equal = replace(FULL.exports[0], psnr_db=math.inf, tried=[])
    slower = replace(equal, path="exports/slow.onnx", speed=None)
    write_report(replace(FULL, exports=[equal, slower]), directory)
    page, text = ((directory / name).read_text() for name in ("report.html", "report.md"))
    for shown in (page, text):
        assert shown.count("images equal to those of float32") == 2
        assert not re.search(r"\binf\b", shown)
    (best,) = re.findall(r'<tr class="best"><th scope="row">(.*?)</th>', page)
    assert best == equal.path
