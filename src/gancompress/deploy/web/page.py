"""Writing of a page: networks as files, the manifest, the page's program, and its runtime."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from pathlib import Path

from gancompress.deploy.generator import export_generator
from gancompress.deploy.named import NamedNetwork
from gancompress.deploy.parity import ExportReport
from gancompress.deploy.web.manifest import FORMAT, Contents, check_networks, manifest_of, sample_file
from gancompress.deploy.web.runtime import FILES
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
        folder: Created if missing; files of the same names are replaced.
        contents: Contents of the page other than the networks.
        networks: Networks of the page: the original first, then the compressed one, or one alone.
        runtime: The folder that holds the files of onnxruntime-web (`runtime_folder`).
        say: Reports progress.

    Returns:
        The report of each network's file, with its difference from eager.

    Raises:
        ExportError: No page can make the inputs of a network, two differ in them, or see `export_generator`.
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
    with as_file(files("gancompress.deploy.web") / "static") as static:
        shutil.copytree(static, folder, dirs_exist_ok=True)
    write_atomically(folder / MANIFEST_FILE, json.dumps(manifest).encode())
    return reports


def is_page(folder: Path) -> bool:
    """Return whether `write_page` wrote this folder."""
    try:
        return json.loads((folder / MANIFEST_FILE).read_bytes()).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False
