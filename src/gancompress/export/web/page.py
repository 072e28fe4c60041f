"""Writing a page: the networks as files, what the page's program knows of them, the program, and its runtime."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from pathlib import Path

from gancompress.export.generator import export_generator
from gancompress.export.named import NamedNetwork
from gancompress.export.parity import ExportReport
from gancompress.export.web.manifest import FORMAT, Contents, check_networks, manifest_of, sample_file
from gancompress.export.web.runtime import FILES
from gancompress.io import write_atomically

MANIFEST_FILE = "manifest.json"
RUNTIME_FOLDER = "runtime"


def write_page(
    folder: Path,
    contents: Contents,
    networks: Sequence[NamedNetwork],
    runtime: Path,
    say: Callable[[str], None] = lambda line: None,
) -> list[ExportReport]:
    """Write a folder that any web server can serve, and compare each network's file with eager.

    The files are ONNX of free sizes with the rewrites of that format: measured in Chromium, no other form was faster.

    Args:
        folder: Made; of what lies there, files of the same names are replaced.
        contents: What is on the page beside the networks.
        networks: What it runs: the original first, then the compressed one, or one alone.
        runtime: The folder that holds the files of onnxruntime-web (`runtime_folder`).
        say: Where to tell what goes on.

    Returns:
        Of each network's file, how far it is from eager.

    Raises:
        ExportError: A network takes what no page can make, two differ in what they take, or as `export_generator`.
    """
    check_networks(networks)
    reports: list[ExportReport] = []
    for network in networks:
        say(f"{network.name}: exporting to ONNX, and comparing with PyTorch")
        reports.append(export_generator(network.generator, network.form, folder / f"{network.name}.onnx"))
    manifest = manifest_of(contents, networks, reports)
    for part in (RUNTIME_FOLDER, "samples"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(runtime / name, folder / RUNTIME_FOLDER / name)
    for index, sample in enumerate(contents.samples):
        sample.image.save(folder / sample_file(index), optimize=True)
    with as_file(files("gancompress.export.web") / "static") as static:
        shutil.copytree(static, folder, dirs_exist_ok=True)
    write_atomically(folder / MANIFEST_FILE, json.dumps(manifest).encode())
    return reports


def is_page(folder: Path) -> bool:
    """Whether `write_page` wrote this folder."""
    try:
        return json.loads((folder / MANIFEST_FILE).read_bytes()).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False
