"""Pruning a generator: the narrow one is the wide one's most important part, and stands by itself."""

from __future__ import annotations

import pytest
import torch

from gancompress.channels import materialise, reorder, trace
from gancompress.importance import SCORES, by_importance
from gancompress.networks.generator import Generator
from gancompress.steps import prune
from tests.channels.cases import FAMILY_CASES, make

FOREIGN = {
    "super_resolution": "tests.channels.strangers:SuperResolution",
    "dense_concat": "tests.channels.strangers:DenseConcat",
    "vocoder": "tests.channels.strangers:Vocoder",
    "volume": "tests.channels.strangers:Volume",
}


@pytest.mark.parametrize("name", [*FAMILY_CASES, *FOREIGN])
def test_pruned_generator_equals_the_sorted_wide_one_at_the_plan(name, tmp_path):
    module, inputs = make(name)
    family, config = FAMILY_CASES.get(name) or (FOREIGN[name], {})
    generator = Generator.from_module(module, family, config)
    graph = trace(module, inputs, multiple=2, minimum=2)
    plan = graph.uniform_plan(0.5)
    score = SCORES["l1_incoming"]

    small = prune(generator, graph, plan, score)
    wide = generator.build()
    wide.load_state_dict(reorder(generator.state, graph, by_importance(score(generator.state, graph))))
    expected = materialise(wide, graph, plan)(*inputs)
    assert torch.equal(small.build()(*inputs), expected)

    small.save(tmp_path)
    loaded = Generator.load(tmp_path)
    assert torch.equal(loaded.build()(*inputs), expected)
    assert loaded.num_parameters < generator.num_parameters

    again = trace(loaded.build(), inputs, multiple=1, minimum=1)
    assert {name: group.size for name, group in again.groups.items()} == dict(plan.widths)


def test_pruning_twice():
    module, inputs = make("volume")
    generator = Generator.from_module(module, FOREIGN["volume"], {})
    for width in (9, 5):
        graph = trace(generator.build(), inputs, multiple=1, minimum=1)
        generator = prune(generator, graph, graph.plan({"enter": width}), SCORES["l1_outgoing"])
    assert generator.build()(*inputs).shape == module(*inputs).shape
    assert generator.architecture.resized["enter"] == {"out_channels": 5}
    assert generator.architecture.resized["up"] == {"in_channels": 5, "out_channels": 10}
