"""Files of onnxruntime-web: download, verification, and cache."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from gancompress.errors import ExportError
from gancompress.io import cache_folder

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package's archive, in base64, as published."""
TIMEOUT_S = 300

FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""Files that a page loads: the first three on processors, the others with WebGPU."""

_ARCHIVE = f"{PACKAGE}-{VERSION}.tgz"
_BY_HAND = f"get {PACKAGE} {VERSION} on another machine (npm pack {PACKAGE}@{VERSION}, folder dist)"


def runtime_folder(given: Path | None = None) -> Path:
    """Return the folder that holds `FILES`: the given one, or one in the cache, which npm fills once.

    Args:
        given: A folder with the files, or the unpacked package; used unchanged.

    Raises:
        ExportError: A file is missing there, npm is missing or fails, or the archive is not the published one.
    """
    if given is not None:
        found = next((place for place in (given, given / "dist", given / "package" / "dist") if _whole(place)), None)
        if found is None:
            raise ExportError(
                f"--runtime: {given} lacks {_missing(given)}, expected the files of {PACKAGE}; {_BY_HAND}"
            )
        return found
    kept = cache_folder() / f"{PACKAGE}-{VERSION}"
    if not _whole(kept):
        _get(kept)
    return kept


def unpack(archive: Path, folder: Path) -> None:
    """Extract `FILES` from the package's archive into a folder, atomically.

    Args:
        archive: The archive.
        folder: Folder to create or to replace.

    Raises:
        ExportError: The archive is not the published one.
    """
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != SHA512:
        raise ExportError(
            f"{archive.name}: got a file with SHA-512 {found[:16]}..., expected {SHA512[:16]}...; nothing was kept: "
            f"check the connection for a proxy that answers in its place, or {_BY_HAND}, and name it with --runtime"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as partial, tarfile.open(archive) as packed:
        whole = Path(partial, "files")
        whole.mkdir()
        for name in FILES:
            content = packed.extractfile(f"package/dist/{name}")
            assert content is not None  # the checksum says that it is there
            (whole / name).write_bytes(content.read())
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(whole, folder)


def _get(folder: Path) -> None:
    by_hand = f"{_BY_HAND}, and put the files into {folder}"
    npm = shutil.which("npm")
    if npm is None:
        raise ExportError(f"web: found no npm, which gets {PACKAGE}, expected it once; install npm, or {by_hand}")
    with TemporaryDirectory() as where:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--pack-destination", where]
        try:
            done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ExportError(f"web: npm got no {PACKAGE} within {TIMEOUT_S} s; try again, or {by_hand}") from None
        archive = Path(where, _ARCHIVE)
        if done.returncode or not archive.is_file():
            reason = next((line for line in done.stderr.splitlines() if "error" in line.lower()), "no archive").strip()
            raise ExportError(f"web: npm could not get {PACKAGE} ({reason}); try again, or {by_hand}")
        unpack(archive, folder)


def _whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)


def _missing(folder: Path) -> str:
    return ", ".join(name for name in FILES if not (folder / name).is_file())
