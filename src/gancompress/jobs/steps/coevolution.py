"""Pruning by a genetic search over channel masks, a baseline for compression by a supernet.

Source: Shu et al., Co-Evolutionary Compression for Unpaired Image Translation, ICCV 2019, section 3.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from gancompress.architecture_search import GeneticOptions, MaskSpace
from gancompress.errors import ConfigError
from gancompress.jobs.steps.recalibration import Calibration
from gancompress.jobs.steps.step import Goal, Step, StepRun, Work, register_step
from gancompress.methods.coevolve import DiscriminatorDistance, MaskFitness, evolve
from gancompress.methods.generators import prune
from gancompress.networks.generator import Generator
from gancompress.tasks.inputs import Inputs


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
    ties_groups = False
    measures = True

    genetic: GeneticOptions = GeneticOptions()
    gamma: Annotated[float, Field(gt=0)] = 10.0
    max_images: Annotated[int | None, Field(ge=1)] = None
    calibration_batches: Annotated[int, Field(ge=1)] = 32

    @property
    def uses_budget(self) -> bool:
        """True; the budget is required."""
        return True

    @property
    def needs_budget(self) -> bool:
        """True; the population stays within it."""
        return True

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Evolve, resuming after the last finished generation; the work's generator becomes the fittest.

        Raises:
            ConfigError: The job has no discriminator.
            BudgetError: Even one channel of every group exceeds the budget.
            TrainingError: No network of a generation generates finite images.
        """
        budget = goal.budget
        assert budget is not None  # the job sees to it
        if work.discriminator is None:
            raise ConfigError(
                "coevolve: got no discriminator, expected the teacher's; name it under teacher.discriminator"
            )
        graph = inputs.graph(work.generator, multiple=1, minimum=1)
        cost = budget.cost(graph)
        space = MaskSpace(graph, cost, budget.limit, budget.unit)

        def narrow(mask: Tensor) -> Generator:
            in_front = {name: part.float() for name, part in space.parts(mask).items()}
            return prune(work.generator, graph, space.plan(mask), lambda *_: in_front)

        num_items = len(inputs.data.open("search"))
        distance = DiscriminatorDistance(
            work.teacher.build(),
            work.discriminator.build(),
            inputs.task,
            lambda: inputs.images("search", goal.metrics.batch_size, self.max_images),
            num_items if self.max_images is None else min(self.max_images, num_items),
            memory_gib=goal.metrics.memory_gib,
            device=run.device,
        )
        calibration = Calibration(inputs, goal.metrics.memory_gib, self.calibration_batches)
        fitness = MaskFitness(graph, space, narrow, distance, calibration, self.gamma)
        last = evolve(space, fitness, self.genetic, run)
        if last is None:
            run.interrupt()
        plan = space.plan(last.fittest)
        note = (
            f"{int(last.fittest.sum())} of {space.num_bits} channels after {last.number} generations, fitness "
            f"{float(last.fitness.max()):.4g}, {cost(plan):,.0f} of {budget.limit:,.0f} {budget.unit}"
        )
        facts = {"plan": "_".join(map(str, plan.widths.values())), "note": note}
        return Work(work.teacher, fitness.generator(last.fittest), work.discriminator, facts)
