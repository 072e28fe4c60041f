"""Scores that run the generator, as a recipe's steps take them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from gancompress.data import parse_data
from gancompress.errors import ConfigError
from gancompress.importance import ScoreOptions
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.run_log import RunLog
from gancompress.steps import Distill
from gancompress.steps.prune import sorted_by
from gancompress.steps.step import Context
from gancompress.tasks import LatentOptions, find_task
from tests.data.pictures import save_many


def context(folder: Path) -> Context:
    for split in ("train", "test"):
        save_many(folder / "images" / split, 4, height=8, width=8)
    data = parse_data({"kind": "images", "root": str(folder / "images"), "transform": {"load_size": 8, "crop_size": 8}})
    task = find_task(LatentOptions(latent_size=5))
    return Context(task, data, None, folder, Accelerator(cpu=True), RunLog(folder, lambda _: None))


def test_sorting_by_content_leaves_the_function_and_puts_the_important_in_front(tmp_path):
    where = context(tmp_path)
    config = {"resolution": 8, "channel_max": 8, "latent_size": 5}
    network = build("stylegan2", config)
    with torch.no_grad():  # the first half of the last layer's channels draws nothing
        network.get_parameter("to_rgb.1.conv.weight")[:, :4] = 0
        network.get_parameter("layers.2.conv.weight")[:4] = 0
    generator = Generator.from_module(network, "stylegan2", config)
    options = {"kind": "activation_map", "num_images": 3, "batch_size": 2}
    ordered = sorted_by(Distill(score=options).score, generator, where)
    latent = torch.randn(2, 5)
    with torch.no_grad():
        torch.testing.assert_close(ordered.build()(latent), network.eval()(latent), rtol=1e-4, atol=1e-4)
    assert not ordered.state["layers.2.conv.weight"][4:].any()
    assert ordered.state["layers.2.conv.weight"][:4].any()
    mask = {"kind": "ellipse"}
    by_content = sorted_by(Distill(score={"kind": "content_aware", "mask": mask}).score, generator, where)
    with torch.no_grad():
        torch.testing.assert_close(by_content.build()(latent), network(latent), rtol=1e-4, atol=1e-4)


def test_a_score_survives_being_written_down():
    step = Distill(score={"kind": "content_aware", "num_images": 7, "mask": {"kind": "ellipse", "width": 0.5}})
    written = step.model_dump(mode="json")
    assert written["score"]["kind"] == "content_aware"
    assert written["score"]["mask"] == {"kind": "ellipse", "height": 0.9, "width": 0.5}
    again = Distill(**{name: value for name, value in written.items() if name != "kind"})
    assert isinstance(again.score, ScoreOptions)
    assert again == step
    assert Distill(score="l1_outgoing").score == "l1_outgoing"


def test_an_unknown_score_is_refused_when_the_recipe_is_read():
    with pytest.raises(ConfigError, match="score: got 'content', expected a known score"):
        Distill(score="content")
