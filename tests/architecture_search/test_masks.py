"""Channel masks: within the budget, and bred as they should be."""

from __future__ import annotations

import pytest
import torch

from gancompress.architecture_search import GeneticOptions, MaskSpace, next_generation
from gancompress.architecture_search.masks import crossover, mutant, roulette
from gancompress.channels import trace
from gancompress.cost import CostModel
from gancompress.errors import BudgetError, ConfigError
from gancompress.networks.registry import build

GRAPH = trace(build("resnet", {"ngf": 8, "num_blocks": 1}), (torch.zeros(1, 3, 16, 16),), multiple=1, minimum=1)
MACS = CostModel(GRAPH)


def cost(plan) -> float:
    return MACS.macs(plan).true


FULL = cost(GRAPH.full_plan())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("fraction", [0.07, 0.2, 0.9])
def test_random_masks_use_the_budget_and_no_more(fraction):
    space = MaskSpace(GRAPH, cost, fraction * FULL)
    assert space.num_bits == sum(group.size for group in GRAPH.groups.values())
    for seed in range(10):
        mask = space.random(seeded(seed))
        plan = space.plan(mask)
        assert min(plan.widths.values()) >= 1
        assert cost(plan) <= fraction * FULL
        assert torch.equal(space.within_budget(mask, seeded(seed)), mask)  # what fits is left alone
    assert not torch.equal(space.random(seeded(0)), space.random(seeded(1)))


def test_no_more_channels_are_removed_than_the_budget_demands():
    space = MaskSpace(GRAPH, cost, 0.1 * FULL)
    full = torch.ones(space.num_bits, dtype=torch.bool)
    mask = space.within_budget(full, seeded())
    assert full.all()
    # Of all channels that were removed, some one would have been the last: with it the budget is exceeded.
    one_more = [cost(space.plan(mask | (torch.arange(space.num_bits) == bit))) for bit in (~mask).nonzero().flatten()]
    assert max(one_more) > 0.1 * FULL >= cost(space.plan(mask))


def test_empty_groups_get_a_channel():
    space = MaskSpace(GRAPH, cost, FULL)
    mask = space.within_budget(torch.zeros(space.num_bits, dtype=torch.bool), seeded())
    assert set(space.plan(mask).widths.values()) == {1}
    assert {n: len(part) for n, part in space.parts(mask).items()} == {n: g.size for n, g in GRAPH.groups.items()}


def test_a_budget_that_nothing_meets_is_refused():
    smallest = cost(GRAPH.smallest_plan())
    with pytest.raises(BudgetError, match=rf"got 10 MACs, but the smallest reachable cost is {smallest:,.0f} MACs"):
        MaskSpace(GRAPH, cost, 10)


def test_roulette_draws_by_fitness():
    population, random = torch.eye(3, dtype=torch.bool), seeded()
    fitness = torch.tensor([1.0, 3.0, 0.0], dtype=torch.float64)
    drawn = torch.stack([roulette(population, fitness, random) for _ in range(2000)]).double().mean(0)
    assert drawn.tolist() == pytest.approx([0.25, 0.75, 0], abs=0.03)


def test_operators_change_one_stretch():
    a, b = torch.zeros(40, dtype=torch.bool), torch.ones(40, dtype=torch.bool)
    lengths = set()
    for seed in range(30):
        first, second = crossover(a, b, seeded(seed))
        turned = mutant(a, seeded(seed))
        assert torch.equal(first, ~second)
        assert torch.equal(first, turned)
        assert int((first[1:] != first[:-1]).sum()) <= 2
        lengths.add(int(first.sum()))
    assert not a.any()
    assert b.all()
    assert len(lengths) > 10


def test_the_best_mask_survives_and_the_operators_come_as_often_as_stated():
    random = seeded()
    population = torch.rand(400, 64, generator=random) < 0.5
    fitness = torch.rand(400, generator=random, dtype=torch.float64)
    bred = next_generation(population, fitness, GeneticOptions(selection=0.2, crossover=0.7), seeded(1))
    assert len(bred) == 400
    assert torch.equal(bred[0], population[fitness.argmax()])
    again = next_generation(population, fitness, GeneticOptions(selection=0.2, crossover=0.7), seeded(1))
    assert all(torch.equal(one, other) for one, other in zip(bred, again, strict=True))
    members = {row.numpy().tobytes() for row in population}
    copied = sum(mask.numpy().tobytes() in members for mask in bred) / 400
    assert copied == pytest.approx(0.2 / 1.7 + 1.4 / 1.7 * 0.04, abs=0.06)  # crosses count twice; some exchange little
    only_copies = next_generation(population, fitness, GeneticOptions(selection=1.0, crossover=0.0), seeded())
    assert all(mask.numpy().tobytes() in members for mask in only_copies)


def test_probabilities_that_exceed_one_are_refused():
    with pytest.raises(ConfigError, match=r"crossover: got 0\.9 with selection 0.2, expected at most 1 together"):
        GeneticOptions(crossover=0.9)
