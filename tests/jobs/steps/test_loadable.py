"""Steps of a job whose compressed network must stay in the form of its constructor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gancompress.errors import ConfigError
from gancompress.jobs.recipe import load_job
from gancompress.jobs.steps import Distill, Prune, Slim, Supernet
from gancompress.jobs.steps.spaces import SpaceOptions
from gancompress.methods.budget import CostLimit
from gancompress.networks.loadable import loadable
from gancompress.training import TrainingOptions
from tests.jobs.steps.small_work import distillation, macs_of, make_surroundings, make_work

TRAINING = TrainingOptions(num_images=4, batch_size=2, preview_every=0)
TERMS = distillation(l1=1)
STEPS = [
    Prune(keep=0.5, multiple=1),
    Prune(multiple=1),
    Distill(multiple=1, distillation=TERMS, training=TRAINING),
    Slim(distillation=TERMS, training=TRAINING, steer=False, penalty=0, streams=True, minimum=3),
]


@pytest.mark.parametrize("step", STEPS, ids=["keep", "budget", "distill", "slim"])
def test_steps_keep_one_base_width(tmp_path, step):
    work = make_work()
    around = make_surroundings(tmp_path, None)
    limit = CostLimit(macs_of(work, around) / 2.5, "true")
    around = around._replace(inputs=replace(around.inputs, loadable=True))
    narrow = step.run(work, around.inputs, around.run, replace(around.goal, budget=limit)).generator
    assert loadable(narrow).config["ngf"] == 4


def test_search_spaces_have_one_number_for_each_argument(tmp_path):
    inputs = replace(make_surroundings(tmp_path, None).inputs, loadable=True)
    wide = make_work().generator
    graph = inputs.graph(wide, multiple=1, minimum=1)
    space = SpaceOptions(multiple=2, min_keep=0.25).of(wide, graph)
    assert not SpaceOptions(multiple=2, min_depth=0.5).of(wide, graph).plan(space.largest).left_out
    assert [slot.name for slot in space.slots] == ["ngf"]
    assert space.choices == ((2, 4, 6, 8),)
    with pytest.raises(ConfigError, match=r"config_set 'resnet-channels-48' with loadable: true, .* one of the two"):
        SpaceOptions(config_set="resnet-channels-48").of(wide, graph)
    assert Supernet.ties_groups


def test_steps_that_choose_each_group_alone_are_refused():
    steps = [{"kind": "coevolve"}]
    with pytest.raises(ConfigError, match=r"steps.0: got 'coevolve' with loadable: true, which chooses the width"):
        load_job("quickstart", ["loadable=true", f"steps={steps}", "budget={reduction: 4}"])
