"""Build the source distribution and from it the wheel, and compress with what is in the wheel.

python scripts/check_wheel.py

The wheel is unpacked into an empty folder and runs beside the installed dependencies, without this checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "runs", "__pycache__", "*.egg-info", "tests")
TINY = (
    *("data.image_size=32", "data.num_images.train=8", "data.num_images.search=2", "data.num_images.test=2"),
    *("steps.0.training.num_images=8", "steps.0.training.num_decay_images=0", "exports=[onnx]"),
)
"""Quickstart of seconds, with the teacher that is shipped."""


def call(*command: object, cwd: Path, **environment: str) -> str:
    """Run a command; return its output, or leave with it."""
    given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """Build both distributions from a copy of this checkout; return the wheel."""
    copy = folder / "checkout"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    make = "from setuptools import build_meta; import sys; build_meta.build_sdist(sys.argv[1])"
    call(sys.executable, "-c", make, folder, cwd=copy)
    (source,) = folder.glob("*.tar.gz")
    wheel = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    call(sys.executable, "-m", "pip", *wheel, source, cwd=folder)
    shutil.rmtree(copy)
    (built,) = folder.glob("*.whl")
    return built


def check_files(wheel: Path) -> int:
    """Check that the wheel holds every file of the package, and return their number."""
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("gancompress/")}
    files = [path for path in (ROOT / "src" / "gancompress").rglob("*") if path.is_file()]
    wanted = {path.relative_to(ROOT / "src").as_posix() for path in files if "__pycache__" not in path.parts}
    if missing := sorted(wanted - inside):
        sys.exit(f"{wheel.name}: lacks {', '.join(missing[:10])}; add them to package-data in pyproject.toml")
    return len(inside)


def check_quickstart(wheel: Path, folder: Path) -> None:
    """Install the wheel into an empty folder, and compress there."""
    target, work = folder / "target", folder / "work"
    work.mkdir()
    install = ("install", "--quiet", "--no-deps", "--no-compile", "--target", target)
    call(sys.executable, "-m", "pip", *install, wheel, cwd=work)
    # The interpreter outside of the environment reads no .pth file, which would lead to this checkout.
    paths = {"PYTHONPATH": os.pathsep.join([str(target), sysconfig.get_path("purelib")])}
    python = getattr(sys, "_base_executable", sys.executable)
    where = call(python, "-s", "-c", "import gancompress; print(gancompress.__file__)", cwd=work, **paths).strip()
    if not Path(where).is_relative_to(target):
        sys.exit(f"gancompress comes from {where}, expected {target}")
    options = [word for option in TINY for word in ("--set", option)]
    program = (python, "-s", target / "bin" / "gancompress")
    call(*program, "compress", "quickstart", "--out", "run", *options, cwd=work, **paths)
    for name in ("report.html", "model.safetensors", "exports/model.onnx"):
        if not (work / "run" / name).is_file():
            sys.exit(f"compress left no {name}")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        print(f"{wheel.name}: {check_files(wheel)} files, {wheel.stat().st_size / 1e6:.1f} MB")
        check_quickstart(wheel, folder)
        print("quickstart from the wheel: done")


if __name__ == "__main__":
    main()
