"""Milliseconds per image in a browser: an original and a compressed generator in turns, on one and on more threads.

    python scripts/benchmark_browser.py --page browser-page --rounds 10

Writes the page (weights are random), or takes the one that is there, and times both networks in headless Chromium with
onnxruntime-web, as the page's own button does. Needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from pathlib import Path

import torch
from playwright.sync_api import Page, sync_playwright

from gancompress.export.web import Contents, PageNetwork, PageServer, is_page, runtime_folder, write_page
from gancompress.export.web.runtime import VERSION
from gancompress.models.config_strings import widths_from_string
from gancompress.models.families import build, find_family
from gancompress.models.generator import Generator
from gancompress.tasks import FileForm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=Path("browser-page"))
    parser.add_argument("--ngf", type=int, default=64, help="of the original, resnet_9blocks")
    parser.add_argument(
        "--plan", default="16_16_32_16_32_32_16_16", help="of the compressed one, mobile_resnet_9blocks"
    )
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--screenshot", type=Path, help="of the page after the last timing")
    options = parser.parse_args()
    if not is_page(options.page):
        write(options.page, options.ngf, options.plan, options.size)
    with PageServer(options.page) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 960})
        tab.goto(server.address)
        print(f"Chromium {browser.version}, onnxruntime-web {VERSION}, {options.rounds} rounds in turns\n")
        print("| threads | original, ms | compressed, ms | times faster |\n|---|---|---|---|", flush=True)
        for threads in options.threads:
            original, compressed = timed(tab, threads, options.rounds)
            ratio = statistics.median(a / b for a, b in zip(original, compressed, strict=True))
            print(f"| {threads} | {shown(original)} | {shown(compressed)} | {ratio:.1f} |", flush=True)
        if options.screenshot is not None:
            tab.screenshot(path=options.screenshot)
        browser.close()


def write(folder: Path, ngf: int, plan: str, size: int) -> None:
    torch.manual_seed(0)
    separable = find_family("mobile_resnet_9blocks").parse({"ngf": ngf})
    configs = {
        "original": ("resnet_9blocks", {"ngf": ngf}),
        "compressed": ("mobile_resnet_9blocks", {"ngf": ngf, "widths": dict(widths_from_string(separable, plan))}),
    }
    networks = []
    for name, (family, config) in configs.items():
        generator = Generator.from_module(build(family, config), family, config)
        example = find_family(family).example_inputs(config, (size, size))
        networks.append(PageNetwork(name, generator, FileForm(generator.build(), example), example))
    write_page(folder, Contents(f"ResNet-9, ngf {ngf}, {size} px"), networks, runtime_folder(), print)


def timed(tab: Page, threads: int, rounds: int) -> tuple[list[float], list[float]]:
    wait(tab, "window.demo && demo.turns.worker")
    tab.evaluate(f"demo.turns.open('wasm', {threads})")
    wait(tab, "demo.turns.idle && demo.turns.networks.every((each) => each.ready && each.shown)")
    times = tab.evaluate(f"demo.time({rounds})")
    return times["original"], times["compressed"]


def wait(tab: Page, condition: str) -> None:
    while not tab.evaluate(f"!!({condition})"):
        time.sleep(0.05)


def shown(times: list[float]) -> str:
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


if __name__ == "__main__":
    main()
