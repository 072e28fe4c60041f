"""Measure a search: the rank correlation of its proxy with the quality after fine-tuning, and its plan's advantage.

``correlation`` fine-tunes random plans at the budget and prints the rank correlation of every proxy with the quality
after fine-tuning. ``compare`` trains, for several seeds, the plan that the search finds, a random plan and the
uniform plan with a supernet's weights, the uniform plan without a supernet, and the uniform plan from the start, all at
the same budget and on the same number of images in all.

The source is a finished run, or a recipe whose teacher is a checkpoint. Its steps are distill (full width), supernet,
search and finetune. Finished results are in ``--out``; the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from gancompress.architecture_search import plans_at_budget
from gancompress.errors import ConfigError, GanCompressError
from gancompress.evaluation import rank_agreement
from gancompress.evaluation.split_evaluation import Evaluation
from gancompress.jobs.recipe import Job, load_job
from gancompress.jobs.run_log import RunLog
from gancompress.jobs.steps import Goal, Prune, Search, Step, StepRun, Supernet, Work
from gancompress.jobs.steps.candidates import candidates_of
from gancompress.jobs.steps.distill import Distill, Finetune
from gancompress.jobs.steps.learning import Learning
from gancompress.jobs.steps.verification import VerifyOptions, finetuning
from gancompress.methods.verify import fine_tuned
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator

Measure = Callable[[torch.nn.Module], Mapping[str, float]]


class Experiment:
    """Steps of one job, run one at a time; each saves its result under its name."""

    def __init__(self, job: Job, teacher: Generator, out: Path) -> None:
        self.job, self.inputs, self.out = job, job.inputs(), out
        self.start = Work(teacher, teacher)
        match job.steps:
            case (Distill() as distill, Supernet() as supernet, Search() as search, Finetune() as finetune):
                self.distill, self.supernet, self.search, self.finetune = distill, supernet, search, finetune
            case steps:
                got = ", ".join(step.kind for step in steps)
                raise ConfigError(f"steps: got {got}, expected distill, supernet, search, finetune")
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        budget = job.limit(teacher, self.inputs)
        assert budget is not None
        self.budget = budget
        self.goal = Goal(self.budget, job.metrics)
        self._measures: dict[tuple, Measure] = {}

    def run(self, name: str, seed: int = 0) -> StepRun:
        """Return the run of a step, in a separate directory."""
        directory = self.out / name
        directory.mkdir(parents=True, exist_ok=True)
        log = RunLog(directory, lambda line: None, step=name, place="")
        return StepRun(directory, log, self.accelerator, seed)

    def after(self, name: str, step: Step, work: Work, seed: int = 0) -> Work:
        """Return the work after a step."""
        done = self.out / name / "generator"
        if not done.is_dir():
            print(f"{name}: starts", flush=True)
            torch.manual_seed(seed)
            result = step.run(work, self.inputs, self.run(name, seed), self.goal)
            facts = json.dumps(result.facts, indent=1)
            (self.out / name / "facts.json").write_text(facts)
            result.generator.save(done)
        facts = json.loads((self.out / name / "facts.json").read_text())
        return replace(work, generator=Generator.load(done), facts=facts)

    def wide_and_supernet(self, seed: int) -> tuple[Work, Work]:
        """Return the student at full width, which all seeds share, and the supernet of a seed."""
        wide = self.after("wide", self.distill, self.start)
        return wide, self.after(f"supernet-{seed}", self.supernet, wide, seed)

    def ways(self, seed: int) -> dict[str, Callable[[], Generator]]:
        """Return functions that train networks at the budget, by method; all see the same number of images."""
        search, finetune, distill = self.search, self.finetune, self.distill
        options = search.options.model_copy(update={"method": "random_at_budget"})
        random = search.model_copy(update={"options": options, "verify": None})
        uniform = Prune(multiple=search.space.multiple)
        wide, supernet = self.wide_and_supernet(seed)
        spared = _num_images(self.supernet)
        training = _longer(finetune, spared + _num_images(distill)).training
        direct = distill.model_copy(update={"keep": None, "multiple": search.space.multiple, "training": training})

        def after(name: str, *steps: Step, work: Work) -> Generator:
            for number, step in enumerate(steps):
                work = self.after(f"{'cut' if number < len(steps) - 1 else 'tuned'}-{name}-{seed}", step, work, seed)
            return work.generator

        return {
            "searched": lambda: after("searched", search, finetune, work=supernet),
            "random at the budget": lambda: after("random-at-the-budget", random, finetune, work=supernet),
            "uniform": lambda: after("uniform", uniform, finetune, work=supernet),
            "uniform, no supernet": lambda: after("uniform-no-supernet", uniform, _longer(finetune, spared), work=wide),
            "uniform from the start": lambda: after("uniform-from-the-start", direct, work=self.start),
        }

    def measure(self, split: str, against: str, max_images: int | None = None) -> Measure:
        """Return the job's metrics against real or teacher images, by names such as ``ssim to teacher, 64 images``."""
        key = split, against, max_images
        if key not in self._measures:
            options = self.job.metrics.model_copy(update={"max_images": max_images})
            teacher = self.start.teacher.build() if against == "teacher" else None
            names = getattr(options, f"against_{against}")
            evaluation = Evaluation(options, names, self.inputs, split, teacher, device=self.accelerator.device)
            images = "" if max_images is None else f", {max_images} images"
            self._measures[key] = lambda network: {
                f"{found.name} to {against}{images}": found.value for found in evaluation.of(network)
            }
        return self._measures[key]


def correlation(experiment: Experiment, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the rank correlation of proxies with the quality after fine-tuning, over random plans at the budget."""
    _, supernet = experiment.wide_and_supernet(0)
    search, finetune = experiment.search, experiment.finetune
    inputs, run, goal = experiment.inputs, experiment.run("correlation"), experiment.goal
    networks = candidates_of(supernet, search.space, search.calibration_batches, inputs, run, goal)
    drawn = plans_at_budget(
        networks.space,
        networks.cost,
        experiment.budget.limit,
        arguments.num_plans,
        tolerance=search.options.budget_tolerance,
        unit=experiment.budget.unit,
    )
    options = VerifyOptions(
        num_plans=arguments.num_plans, distillation=finetune.distillation, training=finetune.training
    )
    limits = (arguments.few_images, None)
    measures = [experiment.measure("search", against, n) for against in ("real", "teacher") for n in limits]
    measures.append(experiment.measure("test", "teacher"))

    def measured(network: torch.nn.Module) -> dict[str, float]:
        found = {name: value for measure in measures[:-1] for name, value in measure(network).items()}
        found |= {f"{name}, test": value for name, value in measures[-1](network).items()}
        return {**found, "parameters": float(sum(p.numel() for p in network.parameters()))}

    plans = {networks.space.text(values): networks.space.plan(values) for values in drawn}
    finetune = finetuning(options, networks, supernet, inputs, run, goal)
    found = fine_tuned(plans, networks, measured, finetune, run.directory / "verify", run.log.said)
    truth = f"{arguments.metric} to teacher, test"
    rows = {
        proxy: asdict(rank_agreement([each.before[proxy] for each in found], [each.after[truth] for each in found]))
        for proxy in found[0].before
        if not proxy.endswith("test")
    }
    print(f"\n| proxy | Spearman with {truth} after fine-tuning | 95 % | Kendall | 95 % |\n|---|---|---|---|---|")
    for proxy, row in rows.items():
        spearman, kendall = (f"{row[k]:.2f} | {row[k + '_interval'][0]:.2f} to {row[k + '_interval'][1]:.2f}"
                             for k in ("spearman", "kendall"))  # fmt: skip
        print(f"| {proxy} | {spearman} | {kendall} |")
    return {"plans": [asdict(each) for each in found], "correlation": rows, "truth": truth}


def compare(experiment: Experiment, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the quality of every method at the same budget, over seeds."""
    test, found = experiment.measure("test", "teacher"), {}
    for seed in range(arguments.seeds):
        for way, network in experiment.ways(seed).items():
            tuned = network()
            graph = experiment.inputs.graph(tuned)
            cost = experiment.budget.cost(graph)(graph.full_plan())
            results = {**test(tuned.build()), "share of the budget": cost / experiment.budget.limit}
            found.setdefault(way, []).append(results)
            print(f"{way}, seed {seed}: {results}", flush=True)
    columns = list(found["searched"][0])
    print(f"\n| plan | {' | '.join(columns)} |\n|---" + "|---" * len(columns) + "|")
    for way, results in found.items():
        cells = [[each[name] for each in results] for name in columns]
        shown = (f"{statistics.mean(c):.4g} [{min(c):.4g}, {max(c):.4g}]" for c in cells)
        print(f"| {way} | {' | '.join(shown)} |")
    return {"compared": found, "wins": _wins(found, f"{arguments.metric} to teacher")}


def _num_images(step: Learning) -> int:
    return step.training.num_images + step.training.num_decay_images


def _longer(step: Learning, more: int) -> Learning:
    """Return the same step with more images at the full learning rate, before it decays."""
    training = step.training
    return step.model_copy(update={"training": training.model_copy(update={"num_images": training.num_images + more})})


def _wins(found: Mapping[str, list[Mapping[str, float]]], metric: str) -> dict[str, list[float]]:
    """Return the differences of the searched plan from the others, seed by seed."""
    searched = [each[metric] for each in found["searched"]]
    differences = {
        way: [a - each[metric] for a, each in zip(searched, results, strict=True)]
        for way, results in found.items()
        if way != "searched"
    }
    for way, values in differences.items():
        print(f"searched minus {way}, {metric}: {' '.join(f'{value:+.4f}' for value in values)}")
    return differences


def _experiment(arguments: argparse.Namespace) -> Experiment:
    source = Path(arguments.source)
    if source.is_dir():
        job, teacher = load_job(str(source / "job.yaml"), arguments.set), Generator.load(source / "teacher")
    else:
        job = load_job(arguments.source, arguments.set)
        if job.teacher.checkpoint is None:
            raise ConfigError(
                f"{source}: got a recipe that trains its teacher, expected a trained one; add --set "
                "'teacher={checkpoint: runs/NAME/teacher}', or give a finished run"
            )
        teacher = load_generator(job.teacher.checkpoint, job.teacher.family)
    return Experiment(job, teacher, Path(arguments.out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["correlation", "compare"])
    parser.add_argument("source", help="a finished run, or a recipe")
    parser.add_argument("--out", required=True, help="directory of what is finished, and of WHAT.json")
    parser.add_argument("--set", action="append", default=[], help="options of the recipe, as in gancompress compress")
    parser.add_argument("--metric", default="ssim", help="that the quality after fine-tuning is measured by")
    parser.add_argument("--num-plans", type=int, default=12)
    parser.add_argument("--few-images", type=int, default=64, help="for proxies on few images")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    try:
        experiment = _experiment(arguments)
        found = {"correlation": correlation, "compare": compare}[arguments.what](experiment, arguments)
    except GanCompressError as error:
        parser.error(str(error))
    (experiment.out / f"{arguments.what}.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
