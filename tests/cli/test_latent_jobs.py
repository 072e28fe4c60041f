"""The whole way of a generator from noise: pruned, then measured with metrics that its recipe did not name."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from gancompress.errors import ConfigError, DataError, MetricError
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.report import Report
from tests.evaluation.latent.spaces import small_stylegan2

from .verbs import run

CONFIG = {"resolution": 16, "channel_max": 8, "latent_size": 6, "num_mapping_layers": 2}
METRICS = ["ppl_w_maps", "projection_psnr_maps", "fd_pool_content", "morph_jump_maps"]
LATENT = {"num_pairs": 6, "num_morphs": 2, "num_morph_steps": 3, "projection": {"num_images": 2, "num_steps": 2}}


class Maps(nn.Module):
    """One map."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("noise")
    (folder / "faces").mkdir()
    for i in range(12):
        Image.effect_noise((16, 16), 15 * i + 15).convert("RGB").save(folder / "faces" / f"{i:02}.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript itself
        torch.jit.script(Maps()).save(str(folder / "maps.pt"))
        torch.jit.script(nn.Sequential(nn.AvgPool2d(8), nn.Flatten())).save(str(folder / "pool.pt"))
    Generator.from_module(small_stylegan2(torch.float32), "stylegan2", CONFIG).save(folder / "given")
    recipe = {
        "name": "noise",
        "task": {"kind": "latent", "latent_size": 6},
        "data": {
            "kind": "images",
            "root": str(folder / "faces"),
            "images": ".",
            "transform": {"resize": "none"},
            "splits": {"train": {"fraction": [0, 0.5]}, "search": {"fraction": [0.5, 0.7]},
                       "test": {"fraction": [0.7, 1]}},
        },
        "teacher": {"checkpoint": str(folder / "given")},
        "steps": [{"kind": "prune", "keep": 0.5, "multiple": 2}],
        "metrics": {"against_teacher": []},
        "exports": [],
    }  # fmt: skip
    (folder / "noise.yaml").write_text(json.dumps(recipe))
    return folder


@pytest.fixture(scope="module")
def finished(folder) -> Path:
    run("compress", folder / "noise.yaml", "--out", folder / "run")
    return folder / "run"


@pytest.fixture
def others(folder) -> list[str]:
    """Metrics that the recipe did not name."""
    networks = {name: {"path": str(folder / f"{name}.pt"), "size": [16, 16]} for name in ("maps", "pool")}
    options = {"against_real": METRICS, "networks": networks, "content_mask": "ellipse", "latent": LATENT,
               "reference_folder": str(folder / "references"), "against_teacher": []}  # fmt: skip
    return ["--set", f"metrics={json.dumps(options)}"]


def test_pictures_of_the_latent_space_are_in_the_report(finished):
    report = json.loads((finished / "report.json").read_text())
    assert [picture["path"] for picture in report["pictures"]] == ["samples/morph.png", "samples/mixing.png"]
    with Image.open(finished / "samples" / "morph.png") as morph, Image.open(finished / "samples/mixing.png") as mixing:
        assert 8 * 160 < morph.width < 1700
        assert 6 * 160 < morph.height < 1200  # three morphs of two networks
        assert 5 * 160 < mixing.width < 1200
        assert 8 * 160 < mixing.height < 1500
    html, markdown = ((finished / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert html.count("data:image/png;base64,") == 3
    assert "Styles mixed: the first 3 of 6 styles from the image at the left" in html
    assert "(samples/morph.png)" in markdown


def test_metrics_can_be_added_to_a_finished_report(finished, others):
    text = run("evaluate", finished, "--trust-code", "--teacher", "--report", *others)
    assert all(f"{network} {name} " in text for network in ("teacher", "compressed") for name in METRICS)
    report = Report.from_json(json.loads((finished / "report.json").read_text()))
    for network in report.networks:
        assert list(network.metrics) == METRICS
        assert f"{network.metrics['ppl_w_maps'].value:.4g}" in text
    assert report.notes == [f"Measured after the run, by gancompress evaluate: {', '.join(METRICS)}."]
    assert "projection_psnr_maps (higher is better" in (finished / "report.md").read_text()
    again = json.loads(run("evaluate", finished, "--trust-code", "--teacher", "--report", "--json", *others))
    after = Report.from_json(json.loads((finished / "report.json").read_text()))
    assert after == report
    for name in METRICS:
        assert again["metrics"][name]["value"] == report.networks[1].metrics[name].value
        assert again["teacher"]["metrics"][name]["value"] == report.networks[0].metrics[name].value


def test_what_does_not_fit_a_report_is_refused(finished, others, tmp_path):
    with pytest.raises(ConfigError, match="--report: got split 'search', expected test, which the report is about"):
        run("evaluate", finished, "--trust-code", "--split", "search", "--report", *others)
    kept = (finished / "report.json").read_text()
    (finished / "report.json").unlink()
    with pytest.raises(DataError, match=r"report.json: found no such file, expected the report of a finished run"):
        run("evaluate", finished, "--trust-code", "--report", *others)
    (finished / "report.json").write_text(kept)


def test_styles_are_missed_before_a_step_runs(folder, others):
    torch.manual_seed(0)
    config = {"ngf": 4, "latent_size": 6, "num_blocks": 2}
    Generator.from_module(build("sngan", config), "sngan", config).save(folder / "sngan")
    with pytest.raises(MetricError, match="ppl_w_maps: got a SnganGenerator, expected a generator with styles"):
        run(
            *("compress", folder / "noise.yaml", "--out", folder / "refused", *others),
            *("--set", f"teacher.checkpoint={folder / 'sngan'}"),
        )
    assert not (folder / "refused" / "steps").exists()
