"""Comparison of the networks of a report: the headline and the before-and-after table, shared by all formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isinf
from typing import Literal, NamedTuple, TypeVar

from gancompress.report.data import (
    COMPRESSED,
    FLOAT32,
    TEACHER,
    TO_TEACHER,
    ExportFacts,
    FileSpeed,
    MetricValue,
    NetworkFacts,
    Report,
)
from gancompress.report.wording import MISSING, Change, changed, compact, ratio, significant, times

SMALLER, FEWER = Change("smaller", "larger"), Change("fewer", "more")
LESS, FASTER = Change("less", "more"), Change("faster", "slower")
Tone = Literal["better", "worse", "even"]
File = TypeVar("File")


class Headline(NamedTuple):
    """One figure of the headline."""

    figure: str
    label: str
    detail: str


class MetricChange(NamedTuple):
    """Change of a metric, in words.

    Attributes:
        words: Such as "0.82 worse", or the reason why the values cannot be compared.
        difference: New value minus old one, if the two can be compared.
        tone: Whether it is good; "even" if the intervals overlap or the values cannot be compared.
        overlaps: Whether both intervals are known and overlap.
    """

    words: str
    difference: float | None = None
    tone: Tone = "even"
    overlaps: bool = False


class Bar(NamedTuple):
    """Position of a value on the track of its row, in percent: a bar or an interval, and the point in it."""

    start: float
    end: float
    point: float | None = None


@dataclass(frozen=True)
class Cell:
    """One value of one network: the figure, its spread, and its comparison with the teacher's."""

    figure: str
    spread: str = ""
    change: str = ""
    tone: Tone = "even"
    bar: Bar | None = None


@dataclass(frozen=True)
class Row:
    """One quantity, for every network of the report."""

    label: str
    note: str
    cells: list[Cell]


class _Cost(NamedTuple):
    label: str
    note: str
    change: Change
    read: Callable[[NetworkFacts], float | None]
    unit: str = ""


_COSTS: dict[str, list[_Cost]] = {
    "Size": [
        _Cost("Parameters", "", FEWER, lambda net: net.parameters),
        _Cost("Weights", "each at its bits", SMALLER, lambda net: net.weight_bytes, "B"),
        _Cost("File on disk", "", SMALLER, lambda net: net.file_bytes, "B"),
    ],
    "Compute": [
        _Cost("MACs", "true count", FEWER, lambda net: net.macs and net.macs.true),
        _Cost("MACs, “outsize”", "transposed at output size", FEWER, lambda net: net.macs and net.macs.outsize),
        _Cost("MACs, “gc”", "as GAN Compression counts", FEWER, lambda net: net.macs and net.macs.gc),
        _Cost("MACs, “gi”", "as GAN Slimming counts, × 1024³", FEWER, lambda net: net.macs and net.macs.gi),
    ],
    "Memory": [_Cost("Peak activations", "", LESS, lambda net: net.peak_activation_bytes, "B")],
}


def headline(report: Report) -> list[Headline]:
    """Return speed, MACs, size and quality of the result against the teacher; empty without the two networks.

    Speed and size are those of the fastest file if files were timed, else those of the compressed network.
    """
    teacher, student = report.network(TEACHER), report.network(COMPRESSED)
    if teacher is None or student is None:
        return []
    file, speed = fastest_file(report) or (None, None)
    macs = [net.macs and net.macs.true for net in (teacher, student)]
    return [
        _with_input(_file_speed_headline(file, speed) if file and speed else _speed_headline(teacher, student), report),
        _with_input(_cost_headline(macs, Change("fewer MACs", "more MACs"), " true MACs"), report),
        _size_headline(teacher, student, file),
        *_quality_headlines(teacher, student, file),
    ]


def headline_lines(report: Report) -> list[str]:
    """Return the headline as text, one line for each figure."""
    return [f"{figure} {label}: {detail}" for figure, label, detail in headline(report)]


def fastest_file(report: Report) -> tuple[ExportFacts, FileSpeed] | None:
    """Return the file that is fastest relative to the original, and its speed; None if none was timed.

    Ties are broken as in `fastest_of`.
    """
    timed = [(export, export.speed) for export in report.exports if export.speed is not None]
    return fastest_of(timed, lambda each: (each[1].faster, each[1].faster_low), lambda each: each[0].psnr_db)


def fastest_of(
    files: Sequence[File],
    speedup: Callable[[File], tuple[float, float | None]],
    psnr_db: Callable[[File], float | None],
) -> File | None:
    """Return the fastest file; of those that are as fast by measurement, the one closest to the float network.

    Files are as fast as the fastest one if their speedup is at least the lower quartile of its own. So half precision,
    which a CPU computes in float32, does not win by noise.

    Args:
        files: Files that were timed; of equally close ones the first is returned.
        speedup: Function of a file that returns its speedup and the lower quartile, if that is known.
        psnr_db: Function of a file that returns its PSNR to the float network; None if it was not compared on images.

    Returns:
        The file; None if there are none.
    """
    if not files:
        return None
    faster, low = speedup(max(files, key=lambda each: speedup(each)[0]))
    least = faster if low is None else min(low, faster)
    as_fast = [each for each in files if speedup(each)[0] >= least]
    return max(as_fast, key=lambda each: _closeness(psnr_db(each)))


def _closeness(psnr_db: float | None) -> float:
    return inf if psnr_db is None else round(psnr_db, 1)


def comparison(report: Report) -> dict[str, list[Row]]:
    """Return the before-and-after table: groups of rows, each with one cell for every network of the report."""
    networks, teacher = report.networks, report.network(TEACHER)
    groups = {"Network": [_family_row(networks), _plan_row(networks), _precision_row(networks)]}
    groups |= {title: [_cost_row(cost, networks, teacher) for cost in costs] for title, costs in _COSTS.items()}
    runtimes = dict.fromkeys(runtime for net in networks for runtime in net.latency_ms)
    groups["Speed"] = [_latency_row(runtime, networks, teacher) for runtime in runtimes]
    groups["Quality"] = [_metric_row(name, networks, teacher) for name in metric_names(networks)]
    return groups


def metric_names(networks: Iterable[NetworkFacts]) -> list[str]:
    """Return every metric that any of the networks has, in order of appearance."""
    return list(dict.fromkeys(name for network in networks for name in network.metrics))


def compare_metric(before: MetricValue, after: MetricValue) -> MetricChange:
    """Return the change of a metric; values of different protocols or numbers of images are not compared."""
    if before.protocol != after.protocol:
        return MetricChange("not comparable: another protocol")
    if before.n != after.n:
        return MetricChange("not comparable: another N")
    difference = after.value - before.value
    if not isfinite(difference):
        return MetricChange("not comparable: not finite")
    if difference == 0:
        return MetricChange("the same", difference)
    tone = "better" if (difference > 0) == (after.better == "higher") else "worse"
    words = f"{significant(abs(difference), 2)} {tone}"
    overlaps = _overlap(before, after)
    return MetricChange(words, difference, "even" if overlaps else tone, overlaps)


def _overlap(first: MetricValue, second: MetricValue) -> bool:
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return False
    return first.low <= second.high and second.low <= first.high


def _cost_headline(values: Sequence[float | None], change: Change, what: str, unit: str = "") -> Headline:
    before, after = values
    factor = ratio(before, after)
    if factor is None or before is None or after is None:
        return Headline("–", change.down, f"{what.strip()} {MISSING}")
    word = change.down if factor >= 1 else change.up
    detail = f"{compact(before, unit)} → {compact(after, unit)}{what}"
    return Headline(times(max(factor, 1 / factor)), word, detail)


def _with_input(headline: Headline, report: Report) -> Headline:
    """Return a headline with the size of the input that its figures hold for, if that was recorded."""
    if report.input_size is None:
        return headline
    return headline._replace(detail=f"{headline.detail}, input {report.input_size}")


def _speed_headline(teacher: NetworkFacts, student: NetworkFacts) -> Headline:
    runtime = next((name for name in student.latency_ms if name in teacher.latency_ms), None)
    medians = [net.latency_ms[runtime].median if runtime else None for net in (teacher, student)]
    return _cost_headline(medians, FASTER, f" median, {runtime}" if runtime else " latency", "ms")


def _file_speed_headline(file: ExportFacts, speed: FileSpeed) -> Headline:
    word = FASTER.down if speed.faster >= 1 else FASTER.up
    before, after = compact(speed.original_ms.median, "ms"), compact(speed.time_ms.median, "ms")
    precision = file.format.partition(", ")[2] or FLOAT32
    detail = (
        f"{before} (the original in PyTorch eager) → {after} ({file.path}, {speed.runtime}, {precision}), "
        f"{_threads(speed)}, quartiles {speed.faster_low:.1f} to {speed.faster_high:.1f}"
    )
    return Headline(times(max(speed.faster, 1 / speed.faster)), word, detail)


def _threads(speed: FileSpeed) -> str:
    words = f"{speed.threads} thread{'s' if speed.threads > 1 else ''}"
    if speed.original_threads in (None, speed.threads):
        return f"{words} each, processor time" if speed.processor_time else f"{words} each"
    return f"{words}, the original at its best with {speed.original_threads}"


def closeness(psnr_db: float) -> str:
    """Return a file's closeness in words: "PSNR to float32 35.1 dB", "images equal to those of float32"."""
    return "images equal to those of float32" if isinf(psnr_db) else f"PSNR to float32 {significant(psnr_db)} dB"


def times_faster(speed: FileSpeed) -> str:
    """Return the speed of a file in a few words: "19.3 times faster than the original: 0.41 ms, OpenVINO"."""
    word, factor = ("faster", speed.faster) if speed.faster >= 1 else ("slower", 1 / speed.faster)
    return f"{factor:.1f} times {word} than the original: {compact(speed.time_ms.median, 'ms')}, {speed.runtime}"


def _size_headline(teacher: NetworkFacts, student: NetworkFacts, file: ExportFacts | None) -> Headline:
    if file is not None and teacher.file_bytes is not None:
        return _cost_headline([teacher.file_bytes, file.file_bytes], SMALLER, f", {file.path}", "B")
    if student.precision == teacher.precision:
        return _cost_headline([teacher.parameters, student.parameters], SMALLER, " parameters")
    return _cost_headline([teacher.weight_bytes, student.weight_bytes], SMALLER, " of weights", "B")


def _quality_headlines(teacher: NetworkFacts, student: NetworkFacts, file: ExportFacts | None) -> list[Headline]:
    """Return the difference in quality, if both networks were measured, and the closeness to the teacher's images."""
    closeness = _to_teacher_headlines(student, file)
    is_common = any(name in teacher.metrics for name in student.metrics)
    return [*([_quality_headline(teacher, student)] if is_common or not closeness else []), *closeness]


def _to_teacher_headlines(student: NetworkFacts, file: ExportFacts | None) -> list[Headline]:
    """Return the first metric against the teacher's images of each direction: a fidelity and a distance."""
    measured = {name: value for name, value in student.metrics.items() if name.endswith(TO_TEACHER)}
    first: dict[str, str] = {}
    for name, value in measured.items():
        first.setdefault(value.better, name)
    details = {name: f"{measured[name].better} is better, {measured[name].n:,} images" for name in first.values()}
    if details and file is not None and file.psnr_db is not None:
        told = "equal" if isinf(file.psnr_db) else f"{significant(file.psnr_db)} dB"
        details[next(iter(details))] += f"; the file’s images to the network’s: {told}"
    return [
        Headline(significant(measured[name].value), f"{name.removesuffix(TO_TEACHER)} to the teacher", detail)
        for name, detail in details.items()
    ]


def _quality_headline(teacher: NetworkFacts, student: NetworkFacts) -> Headline:
    name = next((name for name in student.metrics if name in teacher.metrics), None)
    if name is None:
        return Headline("–", "quality difference", "no metric measured for both networks")
    before, after = teacher.metrics[name], student.metrics[name]
    change = compare_metric(before, after)
    detail = f"{significant(before.value, 4)} → {significant(after.value, 4)}: {change.words}"
    if change.difference is None:
        return Headline("–", name, detail)
    sign = "+" if change.difference > 0 else "−" if change.difference < 0 else "±"
    overlap = ", intervals overlap" if change.overlaps else ""
    return Headline(f"{sign}{significant(abs(change.difference), 2)}", name, detail + overlap)


def _family_row(networks: list[NetworkFacts]) -> Row:
    return Row("Family", "", [Cell(network.family) for network in networks])


def _plan_row(networks: list[NetworkFacts]) -> Row:
    return Row("Plan", "channels of each group", [Cell(network.plan or "not recorded") for network in networks])


def _precision_row(networks: list[NetworkFacts]) -> Row:
    return Row("Precision", "", [Cell(network.precision) for network in networks])


def _cost_row(cost: _Cost, networks: list[NetworkFacts], teacher: NetworkFacts | None) -> Row:
    values = [cost.read(network) for network in networks]
    return Row(cost.label, cost.note, _cost_cells(values, networks, teacher, cost.change, cost.unit))


def _latency_row(runtime: str, networks: list[NetworkFacts], teacher: NetworkFacts | None) -> Row:
    timed = [network.latency_ms.get(runtime) for network in networks]
    spreads = [f"{significant(time.p10)} – {significant(time.p90)} ms" if time else "" for time in timed]
    medians = [time and time.median for time in timed]
    cells = _cost_cells(medians, networks, teacher, FASTER, "ms", spreads)
    return Row(f"Latency, {runtime}", "median, 10th – 90th percentile", cells)


def _cost_cells(
    values: list[float | None],
    networks: list[NetworkFacts],
    teacher: NetworkFacts | None,
    change: Change,
    unit: str,
    spreads: list[str] | None = None,
) -> list[Cell]:
    before = values[networks.index(teacher)] if teacher else None
    largest = max((value for value in values if value is not None), default=0)
    cells = []
    for network, value, spread in zip(networks, values, spreads or [""] * len(values), strict=True):
        if value is None:
            cells.append(Cell(MISSING))
            continue
        words = "" if network is teacher else changed(before, value, change)
        tone = "better" if words.endswith(change.down) else "worse" if words.endswith(change.up) else "even"
        bar = Bar(0, 100 * value / largest) if largest else None
        cells.append(Cell(compact(value, unit), spread, words, tone, bar))
    return cells


def _metric_row(name: str, networks: list[NetworkFacts], teacher: NetworkFacts | None) -> Row:
    values = [network.metrics.get(name) for network in networks]
    protocols = dict.fromkeys(f"{value.better} is better · {value.protocol}" for value in values if value)
    before = teacher.metrics.get(name) if teacher else None
    bars = _metric_bars(values)
    cells = []
    for network, value, bar in zip(networks, values, bars, strict=True):
        if value is None:
            cells.append(Cell(MISSING))
            continue
        interval = "no interval"
        if value.low is not None and value.high is not None:
            interval = f"{significant(value.low, 4)} – {significant(value.high, 4)}"
        change = compare_metric(before, value) if before and network is not teacher else MetricChange("")
        overlap = ", overlaps the teacher’s" if change.overlaps else ""
        spread = f"{interval}{overlap}; N\u00a0=\u00a0{value.n:,}"
        cells.append(Cell(significant(value.value, 4), spread, change.words, change.tone, bar))
    return Row(name, "; ".join(protocols), cells)


def _metric_bars(values: list[MetricValue | None]) -> list[Bar | None]:
    """Return points and intervals on a common scale from the row's lowest to its highest end."""
    ends = [
        (
            value.value if value.low is None else value.low,
            value.value,
            value.value if value.high is None else value.high,
        )
        for value in values
        if value
    ]
    if len(ends) < 2 or not all(isfinite(end) for three in ends for end in three):
        return [None] * len(values)
    low, high = min(three[0] for three in ends), max(three[2] for three in ends)
    if low == high:
        return [None] * len(values)
    bars = iter([Bar(*(100 * (end - low) / (high - low) for end in (e[0], e[2], e[1]))) for e in ends])
    return [next(bars) if value else None for value in values]
