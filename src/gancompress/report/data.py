"""Data of a report as plain values: the records of one job, ready to be drawn, written and read back."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AliasChoices, ConfigDict, Field, TypeAdapter, ValidationError

from gancompress.cost.conventions import Macs
from gancompress.errors import DataError

Better = Literal["lower", "higher"]
"""The better direction of a metric."""

TEACHER, COMPRESSED = "teacher", "compressed"
"""The names of the two networks that the headline compares."""

TO_TEACHER = "_to_teacher"
"""The end of the name of a metric that compares a network's images with the teacher's."""

FLOAT32 = "float32"
"""The precision of a network that is not quantized."""


class _Facts:
    """Base class of the records: their JSON is read back strictly, infinities and NaN included."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


@dataclass(frozen=True)
class MacFacts(_Facts):
    """MACs of one network for one image, in every convention of `gancompress.cost.conventions`."""

    true: int
    outsize: int
    gc: int
    gi: float

    @classmethod
    def of(cls, macs: Macs) -> Self:
        """Return the figures of a counted cost."""
        return cls(macs.true, macs.outsize, macs.gc, macs.gi)


@dataclass(frozen=True)
class Latency(_Facts):
    """Measured milliseconds for one image: the median and the 10th and 90th percentile."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Self:
        """Return the statistics of at least two measured times."""
        tenths = statistics.quantiles(times_ms, n=10, method="inclusive")  # the other one leaves the range of the times
        return cls(statistics.median(times_ms), tenths[0], tenths[-1])


@dataclass(frozen=True)
class MetricValue(_Facts):
    """A metric of one network.

    Attributes:
        value: The figure itself.
        n: Images it was computed from.
        protocol: Everything but the name that determines the figure; values of different protocols are never compared.
        better: The better direction.
        low: Lower end of its interval, if one was computed.
        high: Upper end of its interval.
    """

    value: float
    n: int
    protocol: str
    better: Better
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class NetworkFacts(_Facts):
    """One network of the comparison, a column of its table.

    Attributes:
        name: "teacher" and "compressed" feed the headline; any other name, such as "from scratch", is a column.
        family: Generator family.
        plan: Widths of the channel groups, if the network has a plan.
        parameters: Number of parameters.
        weight_bytes: Bytes of the weights, each at its bits.
        file_bytes: Bytes of the file on disk.
        macs: MACs at the report's input size.
        peak_activation_bytes: Largest sum of activations alive at once, at the report's input size.
        latency_ms: Latencies by runtime; the headline takes the first runtime that both networks were timed in.
        metrics: Metrics by name; the headline takes the first metric that both networks have.
        precision: Bits of weights and activations, in words.
    """

    name: str
    family: str
    plan: str | None
    parameters: int
    weight_bytes: int
    file_bytes: int | None = None
    macs: MacFacts | None = None
    peak_activation_bytes: int | None = None
    latency_ms: dict[str, Latency] = field(default_factory=dict)
    metrics: dict[str, MetricValue] = field(default_factory=dict)
    precision: str = FLOAT32


@dataclass(frozen=True)
class StepFacts(_Facts):
    """One step of the job.

    Attributes:
        name: Its name in the recipe.
        kind: Kind of the step: "distill", "supernet", ...
        num_images: Images it was trained on, repeats counted; 0 for a step that does not train.
        seconds: Wall-clock time.
        images_per_second: Training rate, if it trained.
        losses: ``(num_images, {term: value})`` in order.
        note: Anything a reader should know.
    """

    name: str
    kind: str
    num_images: int
    seconds: float
    images_per_second: float | None = None
    losses: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class Candidate(_Facts):
    """A plan that the search evaluated."""

    plan: str
    cost: float
    value: float
    chosen: bool = False


@dataclass(frozen=True)
class RankFacts(_Facts):
    """Rank correlation of the search's metric before and after fine-tuning, over plans at the budget.

    Attributes:
        spearman: Spearman's rho.
        kendall: Kendall's tau-b.
        spearman_interval: 95 % interval over the choice of plans.
        kendall_interval: The same.
        num_pairs: Number of plans.
    """

    spearman: float
    kendall: float
    spearman_interval: tuple[float, float]
    kendall_interval: tuple[float, float]
    num_pairs: int


@dataclass(frozen=True)
class SearchFacts(_Facts):
    """Candidates of the search: ``metric`` against ``cost_name``.

    Attributes:
        metric: The metric that decided.
        better: The better direction of it.
        cost_name: Unit of the costs.
        candidates: The plans that were evaluated.
        budget: The cost not to exceed.
        final_cost: Cost of the final network, which is the chosen plan widened up to the budget.
        num_compared: Next best candidates that were compared with the chosen one, image by image.
        num_undecided: Compared candidates whose 95 % interval of the difference holds 0.
        agreement: Rank correlation of the metric with the one after fine-tuning, if it was measured.
    """

    metric: str
    better: Better
    cost_name: str
    candidates: list[Candidate]
    budget: float | None = None
    final_cost: float | None = None
    num_compared: int = 0
    num_undecided: int = 0
    agreement: RankFacts | None = None


@dataclass(frozen=True)
class Samples(_Facts):
    """A sample grid: a PNG, its path relative to the report's directory (or absolute), and its description."""

    path: str
    caption: str


@dataclass(frozen=True)
class FileRow(_Facts):
    """A file in the table of files: its size, speed and quality, or the reason that there is none.

    Attributes:
        name: Its name, or its precision in words.
        time_ms: Time of one run; None if it was not timed.
        faster: Speedup over the network that the table names: median over rounds.
        faster_low: Lower quartile of the speedup.
        faster_high: Upper quartile.
        psnr_db: Peak signal-to-noise ratio to the float network, on images that played no part in a choice.
        best: Whether it is the fastest one that is close enough to the float network.
        threads: Threads that the file was timed with; None if the runtime chose.
        file_bytes: Its size.
        perceptual: Perceptual distance to the float network on the same images.
        reason: Reason that it was not written, compared or timed.
        processor_time: Whether its times are processor time of one thread, instead of wall-clock time.
    """

    name: str
    time_ms: Latency | None = None
    faster: float | None = None
    faster_low: float | None = None
    faster_high: float | None = None
    psnr_db: float | None = None
    best: Annotated[bool, Field(validation_alias=AliasChoices("best", "written"))] = False
    threads: int | None = None
    file_bytes: int | None = None
    perceptual: float | None = None
    reason: str = ""
    processor_time: bool = False

    @classmethod
    def refused(cls, reasons: Mapping[str, str]) -> list[Self]:
        """Return a row for each file that was not written, from the reasons by name."""
        return [cls(name, reason=reason) for name, reason in reasons.items()]

    def timed(self, speed: FileSpeed | None) -> FileRow:
        """Return the row with a measured speed; unchanged without one."""
        if speed is None:
            return self
        return replace(
            self,
            time_ms=speed.time_ms,
            threads=speed.threads,
            processor_time=speed.processor_time,
            faster=speed.faster,
            faster_low=speed.faster_low,
            faster_high=speed.faster_high,
        )


@dataclass(frozen=True)
class FileSpeed(_Facts):
    """Speed of a file against the original network in PyTorch eager, timed alternately.

    Attributes:
        runtime: Runtime of the file, in words.
        threads: Threads of the file.
        time_ms: Time of the file for one image.
        original_ms: Time of the original network for one image.
        faster: Speedup over the original: median over rounds.
        faster_low: Lower quartile of the speedup.
        faster_high: Upper quartile.
        original_threads: Threads of the original; None if they are those of the file.
        processor_time: Whether both times are processor time of one thread, instead of wall-clock time.
    """

    runtime: str
    threads: int
    time_ms: Latency
    original_ms: Latency
    faster: float
    faster_low: float
    faster_high: float
    original_threads: int | None = None
    processor_time: bool = False


@dataclass(frozen=True)
class ExportFacts(_Facts):
    """An exported file.

    Attributes:
        format: "onnx", "openvino", ...
        path: Its path, relative to the report's directory.
        file_bytes: Its size.
        max_difference: Largest absolute difference of its output from eager PyTorch, if it was compared.
        usage: Python that runs the file.
        psnr_db: Peak signal-to-noise ratio to the float network on images like those of its use.
        perceptual: Perceptual distance to the float network on the same images.
        not_compared: Reason why it was not compared; None if it was.
        tried: Files that were timed to choose it, if any were.
        speed: Speed against the original, if it was timed; the headline takes the fastest file.
    """

    format: str
    path: str
    file_bytes: int
    max_difference: float | None
    usage: str
    psnr_db: float | None = None
    perceptual: float | None = None
    not_compared: str | None = None
    tried: list[FileRow] = field(default_factory=list)
    speed: FileSpeed | None = None


@dataclass(frozen=True)
class Report(_Facts):
    """All records of one job that a report shows.

    Attributes:
        title: The headline of the page.
        recipe: The job's recipe, as YAML text.
        seed: Seed of the job.
        environment: "python", "torch", "cpu", "threads", "device", "date" and anything else worth recording.
        networks: Columns of the comparison, in order.
        steps: Steps of the job, in order.
        search: Candidates of the search, if there was one.
        samples: The sample grid, if there is one.
        pictures: Other pictures, such as morphs.
        exports: The exported files.
        not_exported: Reason that a file is not among them, by its name.
        notes: Sentences a reader should know before believing a figure.
        input_size: The input that MACs, memory and latency hold for, such as "1x3x256x256".
    """

    title: str
    recipe: str
    seed: int
    environment: dict[str, str | int | float | None]
    networks: list[NetworkFacts]
    steps: list[StepFacts] = field(default_factory=list)
    search: SearchFacts | None = None
    samples: Samples | None = None
    pictures: list[Samples] = field(default_factory=list)
    exports: list[ExportFacts] = field(default_factory=list)
    not_exported: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    input_size: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as a plain dict for JSON; infinities and NaN become the strings of their names."""
        return json.loads(_REPORT.dump_json(self))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Report:
        """Read the report that `to_json` wrote; a headline added by `write_report` is ignored.

        Raises:
            DataError: A field is missing, unknown or of a wrong type; all of them are named.
        """
        try:
            return _REPORT.validate_python({name: each for name, each in content.items() if name != "headline"})
        except ValidationError as error:
            reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
            raise DataError(f"report: got {reasons}; expected what `Report.to_json` writes; write it again") from None

    def network(self, name: str) -> NetworkFacts | None:
        """Return the network of this name; None if the report has none."""
        return next((network for network in self.networks if network.name == name), None)


_REPORT = TypeAdapter(Report)
