"""Methods on generators: the narrow one is the wide one's most important part, and stands by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gancompress.channels import materialise, reorder, trace
from gancompress.importance import SCORES, by_importance
from gancompress.methods.generators import cropped, prune
from gancompress.networks.generator import Generator
from gancompress.networks.registry import architecture_of, build
from tests.channels.cases import FAMILY_CASES, graph_of, make

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
    graph = graph_of(name).constrain(multiple=2, minimum=2)
    plan = graph.uniform_plan(0.5)
    score = SCORES["l1_incoming"]

    small = prune(generator, graph, plan, score)
    wide = generator.build()
    wide.load_state_dict(reorder(generator.state, graph, by_importance(score(generator.state, graph))))
    expected = materialise(wide, graph, plan)(*inputs)
    assert torch.equal(small.build()(*inputs), expected)

    small.save(tmp_path)
    loaded = Generator.load(tmp_path, trust=True)
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


def test_crops_fit_the_family():
    generator = Generator.from_module(build("resnet", {"ngf": 8}), "resnet", {"ngf": 8})
    images = torch.arange(3 * 2 * 40 * 30).view(3, 2, 40, 30).float()
    crops = cropped(images, generator, 19)
    assert crops.shape == (3, 2, 16, 16)
    for crop, image in zip(crops, images, strict=True):
        y, x = divmod(int((image[0] == crop[0, 0, 0]).flatten().nonzero()), 30)
        assert torch.equal(crop, image[:, y : y + 16, x : x + 16])
    assert torch.equal(cropped(images, generator, 19), crops)
    assert not torch.equal(cropped(images, generator, 19, seed=1), crops)
    assert cropped(images, generator, 96).shape == (3, 2, 40, 30)
    foreign = replace(generator, architecture=architecture_of("tests.channels.strangers:SuperResolution", {}))
    assert cropped(images, foreign, 16) is images
    assert cropped(images[:, 0, 0], generator, 16).shape == (3, 30)
