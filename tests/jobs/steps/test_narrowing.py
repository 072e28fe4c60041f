"""How narrow a network becomes: widths that are written out, those of the paper's recipes, and none at all."""

from __future__ import annotations

import pytest
import torch

from gancompress.errors import ConfigError, PlanError
from gancompress.jobs.recipe import load_job
from gancompress.jobs.steps import Goal, Prune, Work
from gancompress.methods.budget import CostLimit
from gancompress.networks.config_strings import widths_from_string
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, build
from gancompress.tasks import LatentTask
from tests.jobs.steps.small_work import macs_of, make_surroundings, make_work

CONFIG = {"resolution": 16, "channel_max": 4, "latent_size": 6, "num_mapping_layers": 2}


def stylegan2() -> Work:
    torch.manual_seed(0)
    generator = Generator.from_module(build("stylegan2", CONFIG), "stylegan2", CONFIG)
    return Work(generator, generator)


def widths_of(generator: Generator) -> list[int]:
    return list(FAMILIES.find(generator.family).parse(generator.config).group_widths().values())


def test_widths_as_the_literature_writes_them(tmp_path):
    around = make_surroundings(tmp_path, None, task=LatentTask(latent_size=6))
    narrow = Prune(widths="3_2_4_1_2_3").run(stylegan2(), *around).generator
    assert widths_of(narrow) == [3, 2, 4, 1, 2, 3]
    assert narrow.build()(torch.zeros(1, 6)).shape == (1, 3, 16, 16)


def test_widths_by_group(tmp_path):
    narrow = Prune(widths={"stem.conv": 5}).run(make_work(), *make_surroundings(tmp_path, None)).generator
    assert narrow.state["stem.conv.weight"].shape[0] == 5


@pytest.mark.parametrize(("name", "resolution"), [("ffhq-stylegan2-256", 256), ("ffhq-stylegan2-1024", 1024)])
def test_the_papers_recipes_remove_the_whole_part_of_70_percent(name, resolution):
    config = FAMILIES.find("stylegan2").parse({"resolution": resolution})
    (cut, _) = load_job(name).steps
    full, kept = config.default_widths(), widths_from_string(config, cut.widths)
    assert kept == {group: width - int(0.7 * width) for group, width in full.items()}


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ("0_2_2_2_2_2", r"plan: got 0_2_2_2_2_2, expected numbers of at least 1"),
        ("2_2_2", r"plan: got 3 numbers in '2_2_2', expected one of 6 \(net_shape\)"),
        ({"layer.0": 2}, r"plan: no channel group 'layer.0'; did you mean 'layers.0.conv'"),
    ],
)
def test_widths_that_cannot_be(widths, message, tmp_path):
    around = make_surroundings(tmp_path, None, task=LatentTask(latent_size=6))
    with pytest.raises(PlanError, match=message) as error:
        Prune(widths=widths).run(stylegan2(), *around)
    assert "\n" not in str(error.value)


def test_depth_within_a_budget(tmp_path):
    work, around = make_work(), make_surroundings(tmp_path, None)
    full = macs_of(work, around)
    around = around._replace(goal=Goal(CostLimit(full / 2)))
    narrow = Prune(depth="auto", multiple=1).run(work, *around)
    assert macs_of(narrow, around) <= full / 2
    none = Prune(keep=1, depth=0, block_score="branch_norm").run(work, *around).generator
    assert len(none.architecture.left_out) == 1
    with pytest.raises(ConfigError, match="depth: got 'auto' with keep or widths, expected a budget alone"):
        Prune(depth="auto", keep=0.5)
    with pytest.raises(ConfigError, match="block_score: got 'mine', expected a known score of blocks"):
        Prune(depth=0.5, block_score="mine")


def test_a_removal_that_leaves_no_channel():
    with pytest.raises(ConfigError, match=r"keep.*greater than 0") as error:
        Prune(keep=0)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="got keep and widths, expected one of them"):
        Prune(keep=0.5, widths="1_2")
    with pytest.raises(ConfigError, match="widths: got one number, expected quotes around it"):
        Prune(widths=8_8_4)
