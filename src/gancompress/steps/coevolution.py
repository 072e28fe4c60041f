"""Pruning by a genetic search over channel masks, a baseline for compression by a supernet.

Source: Shu et al., Co-Evolutionary Compression for Unpaired Image Translation, ICCV 2019, section 3.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.architecture_search import GeneticOptions, MaskSpace, next_generation
from gancompress.channels import ChannelGraph
from gancompress.cost import CostModel
from gancompress.errors import ConfigError, TrainingError
from gancompress.losses.adversarial import Logits
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.generator import Generator
from gancompress.networks.noise import kept_noise
from gancompress.networks.weight_files import read_safetensors, write_safetensors
from gancompress.steps.batches import HeldBatches
from gancompress.steps.prune import prune
from gancompress.steps.recalibration import Calibration
from gancompress.steps.step import Context, Step, Work, register_step
from gancompress.training import Batch


@register_step
class CoEvolve(Step):
    """Step that prunes the network to the fittest channel mask that a genetic search finds within the budget.

    A mask has a bit for every channel of every group. Its fitness is ``1 / (size + gamma * distance)``: the size is the
    fraction of the parameters that remains, the distance the mean squared difference between the discriminator's logits
    for the network's images and for the teacher's.

    It differs from the paper. There, the generators of both directions evolve together, and the fitness of one also
    contains the cycle consistency with the best of the other; here there is one generator, and no such term. There,
    masks have no budget; here, channels drawn at random are removed from each mask until it meets the budget. The
    released code trains every network before it evaluates it; here, as in the paper's equations, it is evaluated with
    its current weights, and a later step trains the fittest. The released code's fitness differs, too: a constant over
    the distance, plus a small constant for each removed channel.

    Attributes:
        genetic: Options of the genetic algorithm.
        gamma: Weight of the distance.
        max_images: Images of the ``search`` split that every network generates; all by default.
        calibration_batches: Batches over which running statistics are averaged before a network is evaluated.
    """

    kind = "coevolve"
    measures = True

    genetic: GeneticOptions = GeneticOptions()
    gamma: Annotated[float, Field(gt=0)] = 10.0
    max_images: Annotated[int | None, Field(ge=1)] = None
    calibration_batches: Annotated[int, Field(ge=1)] = 32

    @property
    def uses_budget(self) -> bool:
        """True; the budget is required."""
        return True

    def run(self, work: Work, context: Context) -> Work:
        """Evolve, resuming after the last finished generation; the work's generator becomes the fittest.

        Raises:
            ConfigError: The job has no budget, or no discriminator.
            BudgetError: Even one channel of every group exceeds the budget.
            TrainingError: No network of a generation generates finite images.
        """
        if context.budget is None:
            raise ConfigError("coevolve: got no budget, expected one; add budget to the recipe")
        if work.discriminator is None:
            raise ConfigError(
                "coevolve: got no discriminator, expected the teacher's; name it under teacher.discriminator"
            )
        graph = context.graph(work.generator, multiple=1, minimum=1)
        cost = context.budget.cost(graph)
        space = MaskSpace(graph, cost, context.budget.limit, context.budget.unit)
        likeness = _Likeness(work.teacher.build(), work.discriminator.build(), context, self.max_images)
        calibration = Calibration(context, self.calibration_batches)
        fitness = _Fitness(work.generator, graph, space, likeness, calibration, self.gamma)
        state = self._evolve(space, fitness, context)
        best = state.population[int(state.fitness.argmax())]
        plan = space.plan(best)
        note = (
            f"{int(best.sum())} of {space.num_bits} channels after {state.generation} generations, fitness "
            f"{float(state.fitness.max()):.4g}, {cost(plan):,.0f} of {context.budget.limit:,.0f} {context.budget.unit}"
        )
        facts = {"plan": "_".join(map(str, plan.widths.values())), "note": note}
        return Work(work.teacher, fitness.generator(best), work.discriminator, facts)

    def _evolve(self, space: MaskSpace, fitness: _Fitness, context: Context) -> _Generation:
        path = context.directory / "population.safetensors"
        state = _Generation.load(path) if path.is_file() else None
        made = fitness.num_images * self.genetic.population
        while state is None or state.generation < self.genetic.num_generations:
            began = time.perf_counter()
            number = 0 if state is None else state.generation + 1
            if context.accelerator.is_main_process:
                context.log.progress(number * made, (self.genetic.num_generations + 1) * made)
            random = torch.Generator().manual_seed(context.seed * 1_000_003 + number)
            if state is None:
                masks = [space.random(random) for _ in range(self.genetic.population)]
            else:
                bred = next_generation(state.population, state.fitness, self.genetic, random)
                masks = [space.within_budget(mask, random) for mask in bred]
            known = {} if state is None else state.known()
            state = _Generation(number, torch.stack(masks), _measured(masks, known, fitness, context))
            if context.accelerator.is_main_process:
                state.save(path)
                values = {"fitness": float(state.fitness.max()), "mean_fitness": float(state.fitness.mean())}
                context.log.losses((number + 1) * made, values, made / (time.perf_counter() - began))
        return state


@dataclass(frozen=True)
class _Generation:
    """A generation with its fitness.

    Attributes:
        generation: Its number; the random one is 0.
        population: bool [n, num_bits].
        fitness: float64, shape ``(n,)``.
    """

    generation: int
    population: Tensor
    fitness: Tensor

    def known(self) -> dict[bytes, float]:
        """Return the fitness of each mask."""
        return {_key(mask): float(fitness) for mask, fitness in zip(self.population, self.fitness, strict=True)}

    def save(self, path: Path) -> None:
        """Write the generation to a file, atomically."""
        tensors = {"generation": torch.tensor(self.generation), "population": self.population, "fitness": self.fitness}
        write_safetensors(path, tensors)

    @classmethod
    def load(cls, path: Path) -> _Generation:
        """Read what `save` wrote. Raises CheckpointError if the file cannot be read."""
        tensors = read_safetensors(path)
        return cls(int(tensors["generation"]), tensors["population"], tensors["fitness"])


class _Likeness:
    """Discriminator-aware distance between a network's images and the teacher's.

    Attributes:
        device: Device of the computation.
        num_images: Images that each network generates.

    Source: Shu et al., ICCV 2019, section 3.1, discriminator-aware loss; here the mean over logits, not their sum.
    """

    def __init__(self, teacher: nn.Module, discriminator: nn.Module, context: Context, max_images: int | None) -> None:
        self.device, self._task = context.accelerator.device, context.task
        self._discriminator = discriminator.to(self.device).eval()
        self._teacher = teacher = teacher.to(self.device).eval()
        num_items = len(context.data.open("search"))
        self.num_images = num_items if max_images is None else min(max_images, num_items)

        def make() -> Iterator[Batch]:
            for batch in context.images("search", context.metrics.batch_size, max_images):
                inputs = {name: x for name, x in batch.items() if isinstance(x, Tensor) and name != "target"}
                logits = self._logits(self._moved(inputs), teacher(self._given(inputs)))
                yield {**inputs, **{f"logits_{i}": x.cpu() for i, x in enumerate(logits)}}

        self._batches = HeldBatches(make, context.metrics.memory_gib)

    @torch.no_grad()
    def distance(self, network: nn.Module) -> float:
        """Return the mean squared difference of the logits, over images, positions and scales."""
        network.eval()
        total, count = 0.0, 0
        for held in self._batches:
            batch = self._moved(held)
            logits = self._logits(batch, network(self._given(batch), **kept_noise(self._teacher, network)))
            apart = [(mine - batch[f"logits_{i}"]).double().square().mean() for i, mine in enumerate(logits)]
            total += float(torch.stack(apart).mean()) * len(batch["input"])
            count += len(batch["input"])
        return total / count

    def _given(self, batch: Batch) -> Tensor:
        return self._task.encode(batch["input"].to(self.device))

    def _moved(self, batch: Batch) -> Batch:
        return {name: value.to(self.device) for name, value in batch.items()}

    def _logits(self, batch: Batch, images: Tensor) -> list[Tensor]:
        return _by_scale(self._discriminator(self._task.seen(batch, images)))


class _Fitness:
    """Fitness of masks.

    Attributes:
        num_images: Images that each network generates.
    """

    def __init__(
        self,
        generator: Generator,
        graph: ChannelGraph,
        space: MaskSpace,
        likeness: _Likeness,
        calibration: Calibration,
        gamma: float,
    ) -> None:
        self._wide, self._graph, self._space = generator, graph, space
        self._likeness, self._calibration, self._gamma = likeness, calibration, gamma
        self.num_images = likeness.num_images
        self._costs = CostModel(graph)
        self._num_parameters = self._costs.at(graph.full_plan()).parameters

    def generator(self, mask: Tensor) -> Generator:
        """Return the generator with the channels of a mask."""
        narrow = self._pruned(mask)
        return narrow.with_weights_of(self._network(narrow).cpu())

    def of(self, mask: Tensor) -> float:
        """Return the fitness of a mask, higher is better; 0 if its images are not finite.

        Source: Shu et al., ICCV 2019, section 3.2, without the cycle consistency.
        """
        size = self._costs.at(self._space.plan(mask)).parameters / self._num_parameters
        fitness = 1 / (size + self._gamma * self._likeness.distance(self._network(self._pruned(mask))))
        return fitness if fitness > 0 else 0.0

    def _pruned(self, mask: Tensor) -> Generator:
        in_front = {name: part.float() for name, part in self._space.parts(mask).items()}
        return prune(self._wide, self._graph, self._space.plan(mask), lambda *_: in_front)

    def _network(self, narrow: Generator) -> nn.Module:
        module = narrow.build().to(self._likeness.device)
        recalibrate(module, self._calibration)
        return module


def _measured(masks: list[Tensor], known: dict[bytes, float], fitness: _Fitness, context: Context) -> Tensor:
    """Return the fitness of every mask, float64; the processes share the evaluation of new ones.

    Raises:
        Interrupted: The user asked to stop; the generation is bred again in the next run.
        TrainingError: All are 0.
    """
    new = {_key(mask): mask for mask in masks if _key(mask) not in known}
    accelerator = context.accelerator
    found = torch.zeros(len(new), dtype=torch.float64, device=accelerator.device)
    for first in range(0, len(new), accelerator.num_processes):
        asked = torch.tensor(float(context.stop()), device=accelerator.device)
        if float(accelerator.reduce(asked, "sum")) > 0:  # type: ignore[arg-type]
            context.interrupt()
        place = first + accelerator.process_index
        if place < len(new):
            found[place] = fitness.of(list(new.values())[place])
    everywhere: Tensor = accelerator.reduce(found, "sum")  # type: ignore[assignment]
    known = known | dict(zip(new, everywhere.tolist(), strict=True))
    values = torch.tensor([known[_key(mask)] for mask in masks], dtype=torch.float64)
    if not values.any():
        raise TrainingError(
            "coevolve: got images that are not finite from every network of a generation, expected some to work; "
            "check the generator that this step was given"
        )
    return values


def _by_scale(logits: Logits) -> list[Tensor]:
    """Return the logit map of every scale of a discriminator."""
    if isinstance(logits, Tensor):
        return [logits]
    return [scale if isinstance(scale, Tensor) else scale[-1] for scale in logits]


def _key(mask: Tensor) -> bytes:
    return mask.numpy().tobytes()
