"""The page in a real browser: it draws what PyTorch draws, by mouse, by keys, on a phone, with and without threads."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gancompress.data import instance_edges
from gancompress.deploy.named import NamedNetwork
from gancompress.deploy.web import Contents, PageServer, drawn_label_maps, drawn_scenes, write_page
from gancompress.networks.file_form import FileForm, label_map_form
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, build

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

SIDE, LABELS = 32, 3
RESNET = {"num_blocks": 1, "ngf": 4}
SNGAN = {"ngf": 4, "latent_size": 16, "num_classes": 2}
TOLERANCE = 2e-4
"""Largest difference from eager allowed for a number in [-1, 1]: rounding differs by processor, 1.4e-4 was seen.

A level of a pixel is 39 times as much."""
FLAT_TOLERANCE = 4e-3
"""Half a level: instance norms enlarge the rounding of pictures that are nearly flat."""


def network(name: str, family: str, config: dict[str, Any]) -> NamedNetwork:
    module = build(family, config)
    with torch.no_grad():
        for tensor in module.parameters():
            if tensor.dim() > 1:
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
    generator = Generator.from_module(module, family, config)
    example = FAMILIES[family].architecture(config).example_inputs((SIDE, SIDE))
    form = FileForm(generator.build(), example)
    if config.get("in_channels") == LABELS + 1:
        form = label_map_form(generator.build(), LABELS, example[0])
    return NamedNetwork(name, generator, form, example)


@dataclass
class Page:
    """A page on the disk, and what it shows."""

    folder: Path
    networks: list[NamedNetwork]


@pytest.fixture(scope="session")
def pages(tmp_path_factory, runtime) -> dict[str, Page]:
    folder = tmp_path_factory.mktemp("pages")
    torch.manual_seed(0)
    label_names = ["road", "car", "sky"]
    colours = [(128, 64, 128), (0, 0, 142), (70, 130, 180)]
    size = (SIDE, SIDE)
    networks = {
        "image": [network("original", "resnet", {**RESNET, "ngf": 8}), network("compressed", "resnet", RESNET)],
        "labels": [network("original", "resnet", {**RESNET, "in_channels": LABELS + 1})],
        "latent": [network("original", "sngan_32", SNGAN)],
    }
    directions = torch.linalg.qr(torch.randn(16, 2)).Q.T.tolist()
    contents = {
        "image": Contents("scenes", "sketch", samples=drawn_scenes("sketch", size, 2)),
        "labels": Contents("streets", names=label_names, colours=colours, samples=drawn_label_maps(LABELS, size, 2)),
        "latent": Contents("things", names=["cat", "dog"], directions=directions),
    }
    for kind, each in networks.items():
        write_page(folder / kind, contents[kind], each, runtime)
    return {kind: Page(folder / kind, each) for kind, each in networks.items()}


@contextmanager
def opened(browser, address: str, **how: Any) -> Iterator[Any]:
    """A tab that complains when the page does, or when it asks anybody else for anything."""
    complaints: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "permissions": ["camera"], **how})
    tab = context.new_page()
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    tab.on(
        "request",
        lambda asked: None if asked.url.startswith((address, "blob:", "data:")) else complaints.append(asked.url),
    )
    tab.goto(address)
    until(
        tab,
        "window.demo && demo.turns.networks.every((each) => each.ready) && demo.turns.idle && demo.turns.version > 0",
    )
    yield tab
    assert complaints == []
    context.close()


def until(tab, condition: str, seconds: float = 120) -> None:
    """Wait; asked from outside, for the page lets nobody evaluate text inside."""
    end = time.monotonic() + seconds
    while not tab.evaluate(f"!!({condition})"):
        assert time.monotonic() < end, (
            f"{condition}: not within {seconds} s; the page says: {tab.inner_text('#status')}"
        )
        time.sleep(0.02)


def settled(tab, action=lambda: None) -> None:
    """Act, and wait until every network has drawn what came of it."""
    before = tab.evaluate("demo.turns.version")
    action()
    until(tab, f"demo.turns.version > {before} && demo.turns.idle")


def fed(tab) -> list[np.ndarray]:
    """What the networks were given."""
    feeds = tab.evaluate("Object.values(demo.turns.feeds).map(({data, dims, type}) => [Array.from(data), dims, type])")
    kinds = {"float32": np.float32, "int32": np.int32, "bool": bool}
    return [np.array(data).astype(kinds[kind]).reshape(dims) for data, dims, kind in feeds]


def drawn(tab, name: str) -> tuple[Tensor, np.ndarray]:
    """A network's numbers [1, 3, h, w], and the pixels on its canvas [h, w, 3]."""
    values, dims = tab.evaluate(f"[Array.from(demo.outputs['{name}'].values), demo.outputs['{name}'].dims]")
    pixels, width, height = tab.evaluate(
        f"""(() => {{ const canvas = document.querySelector('#card-{name} canvas');
        const image = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return [Array.from(image.data), image.width, image.height]; }})()"""
    )
    return torch.tensor(values).reshape(dims), np.array(pixels, np.uint8).reshape(height, width, 4)[..., :3]


def levels(values: Tensor) -> np.ndarray:
    """Pixels of an image [1, 3, h, w] as Python makes them."""
    return ((values[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def check_drawing(tab, page: Page, tolerance: float = TOLERANCE) -> None:
    """The page draws what PyTorch draws of the same input."""
    inputs = [torch.from_numpy(each) for each in fed(tab)]
    for each in page.networks:
        values, pixels = drawn(tab, each.name)
        with torch.no_grad():
            expected = each.form.module(*inputs)
        torch.testing.assert_close(values, expected, rtol=0, atol=tolerance)
        assert float(expected.std()) > 0.05  # it is a picture
        np.testing.assert_array_equal(pixels, levels(values))
        assert np.abs(pixels.astype(int) - levels(expected)).max() <= 1


@pytest.mark.slow
def test_a_sketch_is_drawn_as_python_draws_it(browser, pages):
    page = pages["image"]
    sample = np.asarray(Image.open(page.folder / "samples" / "0.png").convert("RGB"))
    with PageServer(page.folder) as server, opened(browser, server.address) as tab:
        assert tab.evaluate("crossOriginIsolated")
        expected = torch.from_numpy(sample.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        np.testing.assert_array_equal(fed(tab)[0], expected.numpy())  # to the bit
        check_drawing(tab, page)

        settled(tab, lambda: tab.click("#clear"))
        assert (fed(tab)[0] == 1).all()
        box = tab.locator("#pad").bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
        tab.mouse.down()
        tab.mouse.move(box["x"] + box["width"] * 3 / 4, box["y"] + box["height"] / 2, steps=5)
        tab.mouse.up()
        until(tab, "demo.turns.idle")
        line = fed(tab)[0][0, 0, SIDE // 2 - 1 : SIDE // 2 + 1].mean(0)
        assert line[SIDE // 2] < 0.2
        assert line[0] == line[-1] == 1
        check_drawing(tab, page)


def test_keys_alone_draw_undo_and_reach_everything(browser, pages):
    with PageServer(pages["image"].folder) as server, opened(browser, server.address) as tab:
        settled(tab, lambda: tab.click("#clear"))
        tab.focus("#pad")
        for key in ("Space", "ArrowRight", "ArrowRight", "Shift+ArrowRight", "Space"):
            tab.keyboard.press(key)
        until(tab, "demo.turns.idle && demo.picture.strokes.length === 1")
        assert tab.is_visible("#cursor")
        row = fed(tab)[0][0, 0, SIDE // 2]
        assert (row[SIDE // 2 + 1 : SIDE // 2 + 5] < 0.5).all()
        assert (row[: SIDE // 2 - 2] == 1).all()
        settled(tab, lambda: tab.keyboard.press("Control+z"))
        assert (fed(tab)[0] == 1).all()
        reached = set()
        tab.evaluate("document.body.focus(), document.activeElement.blur()")
        for _ in range(40):
            tab.keyboard.press("Tab")
            reached.add(tab.evaluate("document.activeElement.id || document.activeElement.textContent"))
            style = tab.evaluate(
                """(() => { const at = document.activeElement;
                const around = [at, at.closest('label, .surface')].filter(Boolean);
                return at === document.body || around.some((e) => getComputedStyle(e).outlineStyle !== 'none'); })()"""
            )
            assert style, "the focus does not show"
        assert {
            "pad",
            "open",
            "camera",
            "undo",
            "clear",
            "width",
            "size",
            "time",
            "Pause",
            "Save",
        } <= reached
        assert ("threads" in reached) is tab.is_enabled("#threads")  # a device of one core has no choice


def test_a_photo_a_camera_and_another_size(browser, pages, tmp_path):
    page = pages["image"]
    pixels = (np.arange(SIDE * SIDE * 3).reshape(SIDE, SIDE, 3) * 7 % 256).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    with PageServer(page.folder) as server, opened(browser, server.address) as tab:
        settled(tab, lambda: tab.set_input_files("#open", tmp_path / "photo.png"))
        np.testing.assert_array_equal(fed(tab)[0], (pixels.transpose(2, 0, 1)[None] / np.float32(127.5) - 1))
        check_drawing(tab, page)
        settled(tab, lambda: tab.select_option("#size", "64 x 64"))
        assert fed(tab)[0].shape == (1, 3, 64, 64)
        check_drawing(tab, page)
        before = tab.evaluate("demo.turns.version")
        tab.click("#camera")
        until(tab, f"demo.turns.version > {before} + 3")
        assert tab.get_attribute("#camera", "aria-pressed") == "true"
        tab.click("#camera")
        until(tab, "demo.turns.idle")
        assert np.unique(fed(tab)[0]).size > 20  # Chromium's test picture
        check_drawing(tab, page, FLAT_TOLERANCE)


def test_times_are_of_both_in_turns(browser, pages):
    with PageServer(pages["image"].folder) as server, opened(browser, server.address) as tab:
        for name in ("original", "compressed"):
            assert float(tab.inner_text(f"#card-{name} .ms strong")) > 0  # each has run once
            assert tab.inner_text(f"#card-{name} .facts >> nth=0").endswith(" images/s, first run")
        assert tab.is_hidden("#card-compressed .badge")  # first runs make room: no ratio of those
        first = tab.evaluate("demo.turns.networks.map(({times}) => [...times])")
        settled(tab, lambda: tab.click("#clear"))
        again = tab.evaluate("demo.turns.networks.map(({times}) => [...times])")
        assert [len(times) for times in first] == [len(times) for times in again] == [1, 1]
        assert first != again  # the second run takes the place of the first
        assert tab.is_visible("#card-compressed .badge")
        times = tab.evaluate("demo.time(4)")
        assert {name: len(each) for name, each in times.items()} == {"original": 4, "compressed": 4}
        assert all(ms > 0 for each in times.values() for ms in each)
        shown = [float(tab.inner_text(f"#card-{name} .ms strong")) for name in times]
        assert all(ms > 0 for ms in shown)
        badge = re.fullmatch(r"([\d.,]+)x (faster|slower)", tab.inner_text("#card-compressed .badge"))
        assert badge is not None
        medians = tab.evaluate(
            "demo.turns.networks.map(({times}) => [...times].sort((a, b) => a - b)[times.length >> 1])"
        )
        assert (badge[2] == "faster") == (medians[0] >= medians[1]) or len(set(shown)) == 1
        tab.click("#time")
        until(tab, "document.getElementById('timed').textContent.startsWith('Median of 10 rounds in turns: original ')")
        tab.click("text=Pause")
        before = tab.evaluate("demo.outputs.original.version")
        settled(tab, lambda: tab.click("#clear"))
        assert tab.evaluate("[demo.outputs.original.version, demo.outputs.compressed.version]") == [before, before + 1]


def test_two_images_are_compared_by_a_divider(browser, pages):
    mean = """(canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return [0, 1, 2].map((c) => data.filter((_, i) => i % 4 === c).reduce((a, b) => a + b, 0) / (data.length / 4));
    }"""
    with PageServer(pages["image"].folder) as server, opened(browser, server.address) as tab:
        assert [tab.input_value("#left"), tab.input_value("#right")] == ["original", "compressed"]
        for split, name in ((0, "#card-compressed canvas"), (1, "#card-original canvas")):
            tab.evaluate(f"demo.comparison.splitAt({split})")
            far = np.subtract(tab.eval_on_selector("#compared", mean), tab.eval_on_selector(name, mean))
            assert np.abs(far).max() < 1
        box = tab.locator("#compared").bounding_box()
        tab.locator("#compared").click(position={"x": box["width"] / 4, "y": box["height"] / 2})
        assert tab.evaluate("demo.comparison.split") == pytest.approx(0.25, abs=0.02)
        tab.focus("#compared")
        for key in ("ArrowRight", "+", "+", "Shift+ArrowDown"):
            tab.keyboard.press(key)
        shown = tab.evaluate("[demo.comparison.split, demo.comparison.zoom, demo.comparison.y]")
        assert shown == pytest.approx([0.27, 4, 0.525], abs=0.02)
        assert [tab.input_value("#zoom"), tab.input_value("#split")] == ["4", str(round(1000 * shown[0]))]
        tab.click("#centre-view")
        assert tab.evaluate("[demo.comparison.split, demo.comparison.zoom]") == [0.5, 1]


def test_labels_are_painted_with_mouse_and_keys(browser, pages):
    page = pages["labels"]
    sample = np.asarray(Image.open(page.folder / "samples" / "0.png"))
    with PageServer(page.folder) as server, opened(browser, server.address) as tab:
        labels, edges = fed(tab)
        np.testing.assert_array_equal(labels[0], sample)
        np.testing.assert_array_equal(edges, instance_edges(torch.from_numpy(labels)).numpy())
        check_drawing(tab, page)
        assert tab.locator("#labels").inner_text().split() == ["road", "car", "sky"]
        settled(tab, lambda: tab.click("#clear"))
        assert (fed(tab)[0] == 0).all()
        tab.keyboard.press("2")
        assert tab.is_checked("#labels input >> nth=1")
        tab.check("#objects")
        tab.fill("#width", "80")
        settled(tab, lambda: tab.locator("#pad").click())
        labels, edges = fed(tab)
        painted = labels[0] == 1
        rows, columns = np.nonzero(painted)
        assert painted[SIDE // 2, SIDE // 2]
        assert np.hypot(rows + 0.5 - SIDE / 2, columns + 0.5 - SIDE / 2).max() < 2.6  # a sixth of 32 pixels wide
        np.testing.assert_array_equal(edges, instance_edges(torch.from_numpy(labels)).numpy())
        pad = tab.locator("#pad").bounding_box()
        beside = {"x": pad["width"] / 2 + 3 * pad["width"] / SIDE, "y": pad["height"] / 2}
        settled(tab, lambda: tab.locator("#pad").click(position=beside))
        labels, edges = fed(tab)
        assert (labels[0] == 1).sum() > painted.sum()
        between = edges & ~instance_edges(torch.from_numpy(labels)).numpy()
        assert between.any()  # the same label, but another object
        tab.check("#tool-choice input[value=fill]")
        tab.keyboard.press("3")
        settled(tab, lambda: tab.locator("#pad").click(position={"x": 5, "y": 5}))
        assert set(np.unique(fed(tab)[0])) == {1, 2}
        check_drawing(tab, page)


def test_noise_moves_along_directions_and_classes(browser, pages):
    page = pages["latent"]
    directions = json.loads((page.folder / "manifest.json").read_text())["input"]["directions"]
    with PageServer(page.folder) as server, opened(browser, server.address) as tab:
        before = fed(tab)[0]
        assert before.shape == (1, 18)
        assert before[0, 16:].tolist() == [1, 0]
        check_drawing(tab, page)
        tab.focus("#directions input >> nth=1")
        settled(tab, lambda: tab.keyboard.press("ArrowRight"))
        moved = fed(tab)[0]
        np.testing.assert_allclose(moved[0, :16] - before[0, :16], 0.1 * np.array(directions[1]), atol=1e-6)
        settled(tab, lambda: tab.check("#classes input >> nth=1"))
        assert fed(tab)[0][0, 16:].tolist() == [0, 1]
        check_drawing(tab, page)
        settled(tab, lambda: tab.click("#draw"))
        noise = fed(tab)[0][0, :16]
        assert np.abs(noise - before[0, :16]).min() > 0
        tab.click("#wander")
        until(tab, "demo.turns.version > 12")
        assert np.linalg.norm(fed(tab)[0][0, :16]) > 1.5
        tab.click("#wander")


def test_noise_is_standard_normal(browser, pages):
    with PageServer(pages["latent"].folder) as server, opened(browser, server.address) as tab:
        values = np.array(tab.evaluate("import('/latent.js').then(({normal}) => Array.from(normal(3, 20000)))"))
        again = tab.evaluate("import('/latent.js').then(({normal}) => Array.from(normal(3, 5)))")
    np.testing.assert_array_equal(values[:5], again)
    assert abs(values.mean()) < 0.03  # four standard errors
    assert abs(values.std() - 1) < 0.02
    assert abs((values < -1).mean() - 0.1587) < 0.011


NAMES = """[...document.querySelectorAll('button, select, input, canvas, [role=group], [role=radiogroup]')]
  .filter((each) => each.checkVisibility() && each.ariaHidden !== 'true')
  .map((each) => [each.outerHTML.slice(0, 80), each.ariaLabel || each.labels?.[0]?.textContent ||
    (each.tagName === 'BUTTON' ? each.textContent : '')])
  .filter(([, name]) => !name.trim())"""


@pytest.mark.parametrize("kind", ["image", "labels", "latent"])
def test_a_phone_in_the_dark(browser, pages, kind):
    phone = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}
    with PageServer(pages[kind].folder) as server, opened(browser, server.address, **phone) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 24)"
        assert tab.evaluate(NAMES) == []
        assert tab.evaluate("document.documentElement.lang") == "en"
        ids = tab.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
        assert len(ids) == len(set(ids))
        if kind == "image":  # what is drawn and what comes of it are on one screen
            assert tab.locator("#card-compressed canvas").bounding_box()["y"] < 740
            settled(tab, lambda: tab.tap("#pad"))


def test_a_server_without_the_headers(browser, pages):
    class Plain(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Plain, directory=str(pages["image"].folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    with opened(browser, f"http://127.0.0.1:{server.server_port}/") as tab:
        assert not tab.evaluate("crossOriginIsolated")
        assert "it runs on one thread" in tab.inner_text("#note")
        assert tab.is_disabled("#threads")
        check_drawing(tab, pages["image"])
    server.shutdown()
    server.server_close()
