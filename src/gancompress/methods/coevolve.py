"""Genetic search over channel masks, by the discriminator-aware distance of pruned networks from the teacher.

Source: Shu et al., Co-Evolutionary Compression for Unpaired Image Translation, ICCV 2019, section 3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.architecture_search import GeneticOptions, MaskSpace, next_generation
from gancompress.channels import ChannelGraph
from gancompress.cost import CostModel
from gancompress.errors import TrainingError
from gancompress.evaluation.held_batches import HeldBatches
from gancompress.losses.adversarial import Logits
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given, one_tensor
from gancompress.networks.noise import kept_noise
from gancompress.networks.weight_files import read_safetensors, write_safetensors
from gancompress.tasks.task import Task
from gancompress.training import Batch, Run

POPULATION_FILE = "population.safetensors"


@dataclass(frozen=True)
class Generation:
    """A generation with its fitness.

    Attributes:
        number: Its number; the random one is 0.
        population: bool [n, num_bits].
        fitness: float64, shape ``(n,)``.
    """

    number: int
    population: Tensor
    fitness: Tensor

    @property
    def fittest(self) -> Tensor:
        """The mask of the highest fitness, bool [num_bits]."""
        return self.population[int(self.fitness.argmax())]

    def known(self) -> dict[bytes, float]:
        """Return the fitness of each mask."""
        return {_key(mask): float(fitness) for mask, fitness in zip(self.population, self.fitness, strict=True)}

    def save(self, path: Path) -> None:
        """Write the generation to a file, atomically."""
        tensors = {"generation": torch.tensor(self.number), "population": self.population, "fitness": self.fitness}
        write_safetensors(path, tensors)

    @classmethod
    def load(cls, path: Path) -> Generation:
        """Read what `save` wrote. Raises CheckpointError if the file cannot be read."""
        tensors = read_safetensors(path)
        return cls(int(tensors["generation"]), tensors["population"], tensors["fitness"])


class DiscriminatorDistance:
    """Discriminator-aware distance between a network's images and the teacher's.

    Attributes:
        num_images: Images that each network generates.
        device: Device of the computation.

    Source: Shu et al., ICCV 2019, section 3.1, discriminator-aware loss; here the mean over logits, not their sum.
    """

    def __init__(
        self,
        teacher: nn.Module,
        discriminator: nn.Module,
        task: Task,
        batches: Callable[[], Iterable[Batch]],
        num_images: int,
        *,
        memory_gib: float,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take the networks and the images.

        Args:
            teacher: The teacher.
            discriminator: Its discriminator.
            task: Meaning of the batches.
            batches: Returns the prepared batches, the same ones each time.
            num_images: Number of their images.
            memory_gib: Memory for inputs and logits of the teacher; beyond it they are computed for each network.
            device: Device of the computation.
        """
        self.num_images, self.device, self._task = num_images, torch.device(device), task
        self._discriminator, self._teacher = discriminator.to(device).eval(), teacher.to(device).eval()

        def make() -> Iterator[Batch]:
            for batch in batches():
                inputs = {name: x for name, x in batch.items() if isinstance(x, Tensor) and name != "target"}
                logits = self._logits(self._moved(inputs), teacher(self._given(inputs)))
                yield {**inputs, **{f"logits_{i}": x.cpu() for i, x in enumerate(logits)}}

        self._batches = HeldBatches(make, memory_gib)

    @torch.no_grad()
    def of(self, network: nn.Module) -> float:
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
        return one_tensor(self._task.encode(batch["input"].to(self.device)), "coevolve")

    def _moved(self, batch: Batch) -> Batch:
        return {name: value.to(self.device) for name, value in batch.items()}

    def _logits(self, batch: Batch, images: Tensor) -> list[Tensor]:
        return _by_scale(self._discriminator(self._task.seen(batch, images)))


class MaskFitness:
    """Fitness of channel masks: ``1 / (size + gamma * distance)``, the size as the fraction of parameters that remains.

    Attributes:
        num_images: Images that each network generates.
    """

    def __init__(
        self,
        graph: ChannelGraph,
        space: MaskSpace,
        narrow: Callable[[Tensor], Generator],
        distance: DiscriminatorDistance,
        calibration: Iterable[Given],
        gamma: float,
    ) -> None:
        """Take the masks and the measurement.

        Args:
            graph: Graph of the wide network.
            space: The masks.
            narrow: Returns the network with the channels of a mask.
            distance: Distance of a network from the teacher.
            calibration: Inputs for the running statistics of each network.
            gamma: Weight of the distance.
        """
        self._space, self._narrow, self._distance = space, narrow, distance
        self._calibration, self._gamma, self.num_images = calibration, gamma, distance.num_images
        self._costs = CostModel(graph)
        self._num_parameters = self._costs.at(graph.full_plan()).parameters

    def generator(self, mask: Tensor) -> Generator:
        """Return the generator with the channels of a mask."""
        narrow = self._narrow(mask)
        return narrow.with_weights_of(self._network(narrow).cpu())

    def of(self, mask: Tensor) -> float:
        """Return the fitness of a mask, higher is better; 0 if its images are not finite.

        Source: Shu et al., ICCV 2019, section 3.2, without the cycle consistency.
        """
        size = self._costs.at(self._space.plan(mask)).parameters / self._num_parameters
        fitness = 1 / (size + self._gamma * self._distance.of(self._network(self._narrow(mask))))
        return fitness if fitness > 0 else 0.0

    def _network(self, narrow: Generator) -> nn.Module:
        module = narrow.build().to(self._distance.device)
        recalibrate(module, self._calibration)
        return module


def evolve(space: MaskSpace, fitness: MaskFitness, options: GeneticOptions, run: Run) -> Generation | None:
    """Evolve masks within the budget, resuming after the last finished generation in the run's directory.

    Args:
        space: The masks.
        fitness: Their fitness.
        options: Options of the genetic algorithm.
        run: Directory, log and processes.

    Returns:
        The last generation; None if the user asked to stop.

    Raises:
        TrainingError: No network of a generation generates finite images.
    """
    path = run.directory / POPULATION_FILE
    state = Generation.load(path) if path.is_file() else None
    made = fitness.num_images * options.population
    while state is None or state.number < options.num_generations:
        began = time.perf_counter()
        number = 0 if state is None else state.number + 1
        if run.is_main:
            run.log.progress(number * made, (options.num_generations + 1) * made)
        random = torch.Generator().manual_seed(run.seed * 1_000_003 + number)
        masks = _next_masks(space, state, options, random)
        measured = _measured(masks, {} if state is None else state.known(), fitness, run)
        if measured is None:
            return None
        state = Generation(number, torch.stack(masks), measured)
        if run.is_main:
            state.save(path)
            values = {"fitness": float(state.fitness.max()), "mean_fitness": float(state.fitness.mean())}
            run.log.losses((number + 1) * made, values, made / (time.perf_counter() - began))
    return state


def _next_masks(
    space: MaskSpace, state: Generation | None, options: GeneticOptions, random: torch.Generator
) -> list[Tensor]:
    """Return the masks of the next generation: random ones at first, then offspring, removed down to the budget."""
    if state is None:
        return [space.random(random) for _ in range(options.population)]
    bred = next_generation(state.population, state.fitness, options, random)
    return [space.within_budget(mask, random) for mask in bred]


def _measured(masks: list[Tensor], known: dict[bytes, float], fitness: MaskFitness, run: Run) -> Tensor | None:
    """Return the fitness of every mask, float64; the processes share the evaluation of new ones.

    None if the user asked to stop; the generation is bred again in the next run.

    Raises:
        TrainingError: All are 0.
    """
    new = {_key(mask): mask for mask in masks if _key(mask) not in known}
    accelerator = run.accelerator
    found = torch.zeros(len(new), dtype=torch.float64, device=accelerator.device)
    for first in range(0, len(new), accelerator.num_processes):
        asked = torch.tensor(float(run.stop()), device=accelerator.device)
        if float(accelerator.reduce(asked, "sum")) > 0:  # type: ignore[arg-type]
            return None
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
