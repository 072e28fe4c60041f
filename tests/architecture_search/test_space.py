"""Search spaces: sizes, operators and their distributions, what is refused."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
import torch

from gancompress.architecture_search import CONFIG_SETS, SearchSpace
from gancompress.channels import Slot, trace
from gancompress.channels.slots import widths_from_slots
from gancompress.errors import ConfigError, PlanError
from gancompress.networks.registry import FAMILIES

from .problems import LARGE, SMALL, cost, make_space

NUM_DRAWS = 4000


@pytest.fixture(scope="module")
def graph():
    family = FAMILIES.find("mobile_resnet_9blocks")
    config = {"ngf": 64}
    network = family.build(config)
    return trace(network, [torch.zeros(1, 3, 32, 32)], slots=family.parse(config).slots("slots8"))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet-channels-48", 5_184),
        ("resnet-channels-32", 6_561),
        ("resnet-channels-64-cyclegan", 390_625),
        ("resnet-channels-64-pix2pix", 5_764_801),
    ],
)
def test_config_sets_of_the_resnets_have_the_published_sizes(graph, name, size):
    space = SearchSpace.from_set(name, graph)
    assert space.size == size
    for values in (space.smallest, space.largest, space.sample(generator())):
        graph.validate(space.plan(values))
        assert space.plan(values).widths == widths_from_slots(graph.slots, values)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("spade-channels-48", 15_552),
        ("spade-channels-64", 128_000),
        ("spade-channels-64-coco", 390_625),
        ("spade-channels-64-2", 5_764_801),
    ],
)
def test_other_config_sets_have_the_published_sizes(name, size):
    assert make_space(CONFIG_SETS[name]).size == size


def test_the_space_of_any_graph_has_a_slot_for_every_group(graph):
    free = graph.constrain(multiple=8, minimum=8, fixed=["stem.*"])
    space = SearchSpace.from_graph(free, max_choices=4)
    assert {slot.name for slot in space.slots} == {*free.groups} - {"stem.conv"}
    assert space.rest == {"stem.conv": 64}
    assert space.choices[[slot.name for slot in space.slots].index("down.1.conv")] == (64, 128, 192, 256)
    for values in (space.smallest, space.largest):
        free.validate(space.plan(values))


def test_slots_of_a_graph_stay_tied(graph):
    blocks = Slot("blocks", ("blocks.0.conv1.pointwise", "blocks.1.conv1.pointwise"), 4)
    space = SearchSpace.from_graph(graph.constrain(multiple=8, minimum=8, slots=[blocks]), min_keep=0.5)
    assert space.slots[0] == blocks
    assert (space.choices[0][0], space.choices[0][-1]) == (32, 64)
    widths = space.plan(space.smallest).widths
    assert {widths[group] for group in blocks.groups} == {128}


def test_text_is_the_published_one_and_reads_back(graph):
    space = SearchSpace.from_set("resnet-channels-64-pix2pix", graph)
    values = space.parse("16_16_32_16_32_32_16_16")
    assert values in space
    assert space.text(values) == "16_16_32_16_32_32_16_16"
    assert (16,) * 7 not in space
    assert (17,) * 8 not in space


@pytest.mark.parametrize("text", ["16_16", "a_b_c_d", "8_8_8_9", ""])
def test_a_text_outside_the_space_is_refused(text):
    with pytest.raises(PlanError, match="plan: got"):
        SMALL.parse(text)


def test_sampling_is_a_function_of_the_generator():
    first = [LARGE.sample(random) for random in [generator(7)] for _ in range(20)]
    assert first == [LARGE.sample(random) for random in [generator(7)] for _ in range(20)]
    draws = torch.rand(8, generator=generator(7), dtype=torch.float64)
    assert first[0] == tuple(8 * int(2 + 7 * draw) for draw in draws)
    assert first[0] != LARGE.sample(generator(8))


@pytest.mark.parametrize(
    ("bias", "ratio", "weights"),
    [("uniform", 5.0, (1, 1, 1)), ("arithmetic", 3.0, (3, 2, 1)), ("geometric", 3.0, (9, 3, 1))],
)
def test_sampling_follows_the_weights(bias, ratio, weights):
    random = generator()
    draws = [SMALL.sample(random, bias, ratio) for _ in range(NUM_DRAWS)]
    for slot in range(4):
        counts = Counter(values[slot] for values in draws)
        shares = [counts[choice] / NUM_DRAWS for choice in (8, 16, 24)]
        assert shares == pytest.approx([weight / sum(weights) for weight in weights], abs=0.03)
    both = Counter((values[0] == 8, values[1] == 8) for values in draws)
    share = weights[0] / sum(weights)
    assert both[True, True] / NUM_DRAWS == pytest.approx(share**2, abs=0.03)


def test_mutation_draws_each_slot_anew_at_its_rate():
    random = generator()
    old = (8, 16, 24, 8)
    mutants = [SMALL.mutate(old, 0.3, random) for _ in range(NUM_DRAWS)]
    for slot in range(4):
        counts = Counter(values[slot] for values in mutants)
        for choice in (8, 16, 24):
            expected = 0.3 / 3 + (0.7 if choice == old[slot] else 0)
            assert counts[choice] / NUM_DRAWS == pytest.approx(expected, abs=0.03)
    assert SMALL.mutate(old, 0.0, random) == old


def test_crossover_takes_each_slot_from_either_parent():
    random = generator()
    children = Counter(SMALL.crossover((8,) * 4, (24,) * 4, random) for _ in range(NUM_DRAWS))
    assert set(children) == set(product((8, 24), repeat=4))
    assert all(count / NUM_DRAWS == pytest.approx(1 / 16, abs=0.02) for count in children.values())


@pytest.mark.parametrize("budget", [0, 250, 600, 1_000, 1e9])
def test_plans_within_a_budget_are_listed_once_each(budget):
    def fits(values):
        return cost(SMALL.plan(values)) <= budget

    found = list(SMALL.within(fits))
    assert len(found) == len(set(found))
    assert set(found) == {values for values in product(*SMALL.choices) if fits(values)}


def test_listing_looks_only_at_the_border_of_a_tight_budget():
    looked_at = []

    def fits(values):
        looked_at.append(values)
        return cost(LARGE.plan(values)) <= cost(LARGE.plan(LARGE.smallest))

    assert list(LARGE.within(fits)) == [LARGE.smallest]
    assert len(looked_at) == 1 + len(LARGE.slots)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: SearchSpace.from_set("resnet-channels-46", g), "did you mean 'resnet-channels-48'"),
        (lambda g: SearchSpace.from_set("spade-channels-48", g, g.slots[:3]), "is for 8 slots, but this network has 3"),
        (lambda g: SearchSpace.from_graph(g, max_choices=1), "got max_choices 1"),
        (lambda g: SearchSpace.from_graph(g.constrain(multiple=8, minimum=999)), "no channel group .* has a choice"),
        (
            lambda g: SearchSpace.from_set("resnet-channels-32", g.constrain(multiple=64, minimum=64, slots=g.slots)),
            "slot c0: 'resnet-channels-32' has the choice 16, but this network allows 64",
        ),
        (lambda g: SearchSpace.from_set("resnet-channels-32", g, [Slot("x", ("y",))] * 8), "no channel group 'y'"),
        (lambda g: SearchSpace((), (), {}), "got 0 slots"),
        (lambda g: make_space([(16, 8)]), r"slot c0: got choices \(16, 8\)"),
        (lambda g: SearchSpace((Slot("a", ("fixed",)),), ((1,),), {"fixed": 3}), "'fixed' occurs twice"),
    ],
)
def test_what_is_refused(graph, make, message):
    with pytest.raises((ConfigError, PlanError), match=message):
        make(graph)
