"""The genetic search over channel masks as a step."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gancompress.architecture_search import GeneticOptions
from gancompress.errors import BudgetError, ConfigError, Interrupted, TrainingError
from gancompress.jobs.steps import STEPS, CoEvolve, Work
from gancompress.jobs.steps.distill import Finetune
from gancompress.methods.budget import CostLimit
from gancompress.training import TrainingOptions
from tests.jobs.steps.small_work import Lines, macs_of, make_surroundings, make_work, same_weights


def step(**options) -> CoEvolve:
    defaults = {"genetic": GeneticOptions(population=6, num_generations=3), "calibration_batches": 1}
    return CoEvolve(**{**defaults, **options})


def budget_of(work, tmp_path, fraction: float = 0.3, convention: str = "true") -> CostLimit:
    return CostLimit(fraction * macs_of(work, make_surroundings(tmp_path / "measuring", None)), convention)


def test_the_fittest_network_within_the_budget_is_handed_on(tmp_path):
    assert STEPS["coevolve"] is CoEvolve
    work = make_work()
    budget = budget_of(work, tmp_path, 0.5)
    around = make_surroundings(tmp_path / "run", budget)
    found = step(genetic=GeneticOptions(population=8, num_generations=4), gamma=20).run(work, *around)
    assert macs_of(found, around) <= budget.limit
    assert isinstance(around.run.log, Lines)
    assert [num_images for num_images, _ in around.run.log.lines] == [48 * (i + 1) for i in range(5)]
    best = [values["fitness"] for _, values in around.run.log.lines]
    assert best == sorted(best)  # the fittest stays
    assert best[-1] > 1.05 * best[0]
    assert all(values["mean_fitness"] <= values["fitness"] for _, values in around.run.log.lines)

    # The fitness of what is handed on, by its formula.
    batch = next(iter(around.inputs.images("search", 6)))
    judge, teacher, network = (one.build().eval() for one in (work.discriminator, work.teacher, found.generator))
    with torch.no_grad():
        said = [judge(torch.cat([batch["input"], made(batch["input"])], 1)) for made in (teacher, network)]
    size = found.generator.num_parameters / work.generator.num_parameters
    assert best[-1] == pytest.approx(1 / (size + 20 * float(F.mse_loss(*said))), rel=1e-4)
    assert found.facts["plan"] == "_".join(map(str, around.inputs.graph(found.generator).full_plan().widths.values()))


def test_the_kept_channels_are_those_of_the_mask(tmp_path):
    """Not merely as many: every kept filter is one of the wide network's, in its order."""
    work = make_work()
    found = step().run(work, *make_surroundings(tmp_path / "run", budget_of(work, tmp_path)))
    wide, narrow = work.generator.state["stem.conv.weight"], found.generator.state["stem.conv.weight"]
    places = [next(i for i, row in enumerate(wide) if torch.equal(row, kept)) for kept in narrow]
    assert places == sorted(set(places))
    assert places != list(range(len(places)))


def test_stopped_and_resumed_equals_uninterrupted(tmp_path):
    work = make_work("batch")
    budget = budget_of(work, tmp_path)
    whole = step().run(work, *make_surroundings(tmp_path / "whole", budget))
    for after in (1, 7, 12):
        directory, left = tmp_path / f"run{after}", iter([False] * after)
        stopped = make_surroundings(directory, budget, stop=lambda left=left: next(left, True))
        with pytest.raises(Interrupted):
            step().run(work, *stopped)
        around = make_surroundings(directory, budget)
        resumed = step().run(work, *around)
        assert same_weights(resumed.generator, whole.generator)
        assert resumed.facts == whole.facts
        lines = [*stopped.run.log.lines, *around.run.log.lines]
        assert [num_images for num_images, _ in lines] == [36, 72, 108, 144]  # no generation is measured again
        assert (len(stopped.run.log.lines) > 0) == (after >= 6)
    assert step().run(work, *make_surroundings(directory, budget)).facts == whole.facts


def test_the_network_can_be_trained_further(tmp_path):
    work = make_work()
    found = step().run(work, *make_surroundings(tmp_path / "run", budget_of(work, tmp_path)))
    training = TrainingOptions(num_images=4, batch_size=2, checkpoint_every=4, preview_every=0)
    tuned = Finetune(training=training).run(found, *make_surroundings(tmp_path / "finetune", None))
    assert {n: t.shape for n, t in tuned.generator.state.items()} == {
        n: t.shape for n, t in found.generator.state.items()
    }
    assert not same_weights(tuned.generator, found.generator)


def test_seeds_decide(tmp_path):
    work = make_work()
    budget = budget_of(work, tmp_path)
    first, other = (
        step().run(work, *make_surroundings(tmp_path / f"seed{seed}", budget, seed=seed)) for seed in (0, 1)
    )
    assert first.facts["plan"] != other.facts["plan"]


def test_any_cost_can_be_the_budget_and_gamma_weighs_likeness_against_size(tmp_path):
    work = make_work()
    around = make_surroundings(tmp_path / "a", CostLimit(0.5 * work.generator.num_parameters, "parameters"))
    assert step().run(work, *around).generator.num_parameters <= 0.5 * work.generator.num_parameters
    small = step(gamma=1e-6).run(work, *make_surroundings(tmp_path / "b", around.goal.budget)).generator.num_parameters
    alike = step(gamma=1e6).run(work, *make_surroundings(tmp_path / "c", around.goal.budget)).generator.num_parameters
    assert small < alike


def test_running_statistics_are_averaged_anew(tmp_path):
    work = make_work("batch")
    found = step().run(work, *make_surroundings(tmp_path / "run", budget_of(work, tmp_path)))
    assert int(found.generator.state["stem.norm.num_batches_tracked"]) == 1
    assert found.generator.state["stem.norm.running_mean"].abs().sum() > 0


def test_what_it_cannot_do_is_said(tmp_path):
    work = make_work()
    with pytest.raises(ConfigError, match="coevolve: got no discriminator, expected the teacher's; name it under"):
        step().run(Work(work.teacher, work.generator), *make_surroundings(tmp_path, CostLimit(1e9)))
    with pytest.raises(BudgetError, match="budget: got 10 true MACs, but the smallest reachable cost is"):
        step().run(work, *make_surroundings(tmp_path, CostLimit(10)))
    work.teacher.state["stem.conv.weight"].fill_(torch.nan)
    with pytest.raises(TrainingError, match="coevolve: got images that are not finite from every network"):
        step().run(work, *make_surroundings(tmp_path, CostLimit(1e9)))
