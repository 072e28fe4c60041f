"""Scripts that make what the documentation shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from gancompress.models.families import build
from gancompress.models.generator import Generator
from tests.data.pictures import save_many

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def report(run: Path, macs: float, **metrics: float) -> Path:
    """A run of which only the figures are left."""
    networks = [
        {
            "name": name,
            "macs": {"true": count},
            "parameters": 1234,
            "metrics": {k: {"value": v} for k, v in own.items()},
        }
        for name, count, own in (("teacher", 8e6, {"psnr": 30.0}), ("compressed", macs, metrics))
    ]
    run.mkdir()
    (run / "report.json").write_text(json.dumps({"networks": networks}))
    return run


def test_runs_side_by_side_with_means_over_seeds(tmp_path):
    first = report(tmp_path / "a", 1e6, psnr=20.0, ssim=0.5)
    second = report(tmp_path / "b", 3e6, psnr=22.0, ssim=0.75)
    other = report(tmp_path / "c", 2e6, psnr=19.0)
    result = script("compare_runs.py", f"ours={first},{second}", f"theirs={other}")
    assert result.stdout.splitlines() == [
        "| | runs | true MACs, M | parameters | psnr | ssim |",
        "|---|---|---|---|---|---|",
        "| teacher | 1 | 8.000 | 1,234 | 30.0 |  |",
        "| ours | 2 | 2.000 [1.000, 3.000] | 1,234 [1,234, 1,234] | 21.0 [20.0, 22.0] | 0.625 [0.500, 0.750] |",
        "| theirs | 1 | 2.000 | 1,234 | 19.0 |  |",
    ]
    chosen = script("compare_runs.py", f"ours={first}", "--metrics", "ssim,lpips")
    assert chosen.returncode == 2
    assert "--metrics: got lpips, expected metrics of these runs: psnr, ssim" in chosen.stderr


def test_a_grid_of_what_networks_make_of_photographs(tmp_path):
    pytest.importorskip("onnxruntime", reason="loading files needs the runtimes' packages")
    photos = save_many(tmp_path / "photos", 2, height=40, width=60)
    config = {"ngf": 4, "num_blocks": 1}
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "net")
    result = script("draw_samples.py", photos, tmp_path / "grid.png", f"small={tmp_path / 'net'}", "--size", "32x48")
    assert (result.returncode, result.stderr) == (0, "")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width == 2 * 240 + 6  # two columns, five times larger
        assert grid.height > 2 * 160
