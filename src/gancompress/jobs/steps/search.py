"""Search of a supernet for its best network within the budget."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gancompress.architecture_search import DatabaseUrl, SearchOptions, opened
from gancompress.evaluation import Metric, PairMetric, SetMetric, find_metric
from gancompress.jobs.steps.candidates import SplitProxy, candidates_of
from gancompress.jobs.steps.costs import latency_facts
from gancompress.jobs.steps.facts import joined
from gancompress.jobs.steps.recalibration import NUM_BATCHES
from gancompress.jobs.steps.sharing import shared
from gancompress.jobs.steps.spaces import SpaceOptions
from gancompress.jobs.steps.step import Goal, Step, StepRun, Work, register_step
from gancompress.jobs.steps.verification import VerifyOptions, finetuning, generator_at, verified_by
from gancompress.methods.best_plan import best_plan, evaluated
from gancompress.methods.candidates import Candidates
from gancompress.tasks.inputs import Inputs


@register_step
class Search(Step):
    """Step that finds the best plan within the budget by a proxy on the ``search`` split, and cuts the network to it.

    The proxy is the quality of a plan with the supernet's weights. The rest of the budget widens single channel groups,
    those that keep the smallest fraction first.

    Attributes:
        metric: Proxy metric.
        against: References of the metric: the teacher's images by default, real ones for metrics that cannot compare
            with a teacher.
        space: The plans to choose from, those that the supernet was trained on.
        options: Method of the search and its numbers.
        max_images: Images of the split that every candidate generates, the same for all; the whole split by default.
        calibration_batches: Batches over which running statistics are averaged before a candidate is evaluated.
        verify: Random plans to fine-tune, to measure the rank correlation of the proxy; none by default.
        storage: URL of a database through which machines share the candidates; the run directory by default. Its
            password is not written anywhere; PostgreSQL also takes it from ``PGPASSWORD`` or ``~/.pgpass``.
    """

    kind = "search"
    measures = True
    takes_latency = True
    places: ClassVar[frozenset[str]] = frozenset({"storage"})

    metric: str = "psnr"
    against: Literal["real", "teacher"] | None = None
    space: SpaceOptions = SpaceOptions()
    options: SearchOptions = SearchOptions()
    max_images: Annotated[int | None, Field(ge=1)] = None
    calibration_batches: Annotated[int, Field(ge=1)] = NUM_BATCHES
    verify: VerifyOptions | None = None
    storage: DatabaseUrl | None = None

    @model_validator(mode="after")
    def _has_a_proxy(self) -> Self:
        if self.verify is not None and not self.options.measures:
            raise ValueError(
                f"verify: got options.method {self.options.method}, which measures no plan, expected another one; "
                "leave verify out"
            )
        return self

    @property
    def uses_budget(self) -> bool:
        """True; the budget is required."""
        return True

    @property
    def needs_budget(self) -> bool:
        """True; candidates are drawn within it."""
        return True

    def compares_with(self, metric: Metric) -> Literal["real", "teacher"]:
        """Return the references of a metric that `find_metric` returned: real images or the teacher's."""
        return self.against or ("teacher" if isinstance(metric, PairMetric | SetMetric) else "real")

    def check(self) -> None:
        """Open the database of the search. Raises ConfigError if that fails."""
        if self.storage is not None:
            with opened(self.storage):
                pass

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Search the space; the work's generator becomes the best network, with the supernet's weights.

        A random plan at the budget is taken without evaluation.

        Raises:
            BudgetError: No plan of the space meets the budget, or too few for ``verify``.
        """
        candidates, proxy = self._prepared(work, inputs, run, goal)
        choice = best_plan(candidates, proxy, self.options, **shared(self.storage, candidates, run))
        checked = None
        if self.verify is not None:
            tune = finetuning(self.verify, candidates, work, inputs, run, goal)
            checked = verified_by(self.verify, candidates, proxy, tune, self.options.budget_tolerance, run)
        best = generator_at(choice.plan, candidates.network(choice.plan), candidates, work)
        facts = joined(
            choice.search_facts(checked and checked.agreement),
            checked.facts() if checked else {},
            choice.budget_facts(),
            latency_facts(goal.budget, best, choice.cost, inputs, run),
        )
        return Work(work.teacher, best, work.discriminator, facts, uncut=work.generator)

    def take_part(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> int:
        """Evaluate candidates of a search that another process runs, until all are finished; write no result.

        Returns:
            The number of all candidates.

        Raises:
            GanCompressError: As `run`.
        """
        candidates, proxy = self._prepared(work, inputs, run, goal)
        return len(evaluated(candidates, proxy, self.options, **shared(self.storage, candidates, run)).candidates)

    def _prepared(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> tuple[Candidates, SplitProxy]:
        candidates = candidates_of(work, self.space, self.calibration_batches, inputs, run, goal)
        against = self.compares_with(find_metric(self.metric, goal.metrics.specs())[0])
        images = self.max_images, inputs, run, goal.metrics, candidates.watch
        return candidates, SplitProxy(work, self.metric, against, *images)
