"""Print one Markdown table of finished runs, side by side: costs and metrics of each result, over seeds.

    python scripts/compare_runs.py compressed=runs/a,runs/a-1 scratch=runs/b,runs/b-1
    python scripts/compare_runs.py --plan scripts/plans/quickstart.yaml --out runs/quickstart-methods \
        --baseline "from scratch" --milliseconds 20 --figure docs/images/methods.png

The first line is the teacher of the first run. If a row has several runs, a value is their mean and half of its 95 %
interval (Student's t). With ``--plan`` the rows are those of a plan, as far as ``run_plan.py`` has run them.
``--metrics a,b`` chooses the metrics and their order; metrics that are not in a recipe are added to a run's report by
``gancompress evaluate RUN --teacher --report --set metrics...``. ``--baseline ROW`` adds, for each metric, the seeds in
which a row is better than that row, with the two-sided sign test. ``--milliseconds N`` adds the processor time of one
image in PyTorch eager, on one thread: the least of N turns, in which all networks run one after another. ``--figure``
draws the metric ``--quality`` against MACs, and against these milliseconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb, sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Quantiles of Student's t for 1 to 9 degrees of freedom."""
MILLISECONDS = "processor ms"


@dataclass
class Row:
    """A row of the table.

    Attributes:
        networks: The networks of its runs, as their reports describe them.
        seeds: Seed of each run.
        milliseconds: Processor time of each network for one image, if it was measured.
    """

    networks: list[Mapping[str, Any]]
    seeds: list[int]
    milliseconds: list[float] = field(default_factory=list)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="NAME=RUN[,RUN...]")
    parser.add_argument("--plan", type=Path, help="take the rows from a plan")
    parser.add_argument("--out", type=Path, help="the folder of its runs")
    parser.add_argument("--metrics", metavar="NAME[,NAME...]", help="all that any of the runs has by default")
    parser.add_argument("--baseline", metavar="ROW", help="the row that others are compared with, seed by seed")
    parser.add_argument("--milliseconds", type=int, metavar="N", help="measure in N turns")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--quality", default="ssim_to_teacher", metavar="METRIC", help="of the figure")
    given = parser.parse_args()
    if bool(given.rows) == bool(given.plan) or bool(given.plan) != bool(given.out):
        parser.error("rows: expected NAME=RUN, or --plan with --out")
    runs = of_plan(given.plan, given.out) if given.plan else named(given.rows)
    teacher = Row([_networks(next(iter(runs.values()))[0])["teacher"]], [0])
    rows = {
        name: Row([_networks(run)["compressed"] for run in each], [_seed(run) for run in each])
        for name, each in runs.items()
    }
    known = dict.fromkeys(m for row in rows.values() for network in row.networks for m in network["metrics"])
    metrics = list(known) if given.metrics is None else given.metrics.split(",")
    if missing := [metric for metric in metrics if metric not in known]:
        parser.error(f"--metrics: got {', '.join(missing)}, expected metrics of these runs: {', '.join(known)}")
    if given.baseline is not None and given.baseline not in rows:
        parser.error(f"--baseline: got {given.baseline}, expected one of the rows: {', '.join(rows)}")
    if given.figure is not None and given.quality not in known:
        parser.error(f"--quality: got {given.quality}, expected a metric of these runs: {', '.join(known)}")
    if given.milliseconds is not None:
        measure(runs, teacher, rows, given.milliseconds)
    print(table(teacher, rows, metrics))
    if given.baseline is not None:
        print(f"\n{sign_tests(rows, given.baseline, metrics)}")
    if given.figure is not None:
        draw(teacher, rows, given.quality, given.figure)


def named(rows: Sequence[str]) -> dict[str, list[Path]]:
    """Return the runs of rows that are given as NAME=RUN,RUN."""
    parts = [row.partition("=") for row in rows]
    return {name: [Path(run) for run in runs.split(",")] for name, _, runs in parts}


def of_plan(file: Path, out: Path) -> dict[str, list[Path]]:
    """Return the finished runs of the rows of a plan. Raises SystemExit if there are none."""
    from plan import Plan

    plan = Plan.read(file)
    found = {row: [plan.run(out, row, seed) for seed in plan.seeds] for row in plan.rows}
    finished = {row: [run for run in runs if (run / "report.json").is_file()] for row, runs in found.items()}
    if not any(finished.values()):
        raise SystemExit(f"{out}: found no finished run of {file}; run scripts/run_plan.py {file} --out {out}")
    return {row: runs for row, runs in finished.items() if runs}


def _networks(run: Path) -> dict[str, Mapping[str, Any]]:
    return {network["name"]: network for network in json.loads((run / "report.json").read_text())["networks"]}


def _seed(run: Path) -> int:
    return json.loads((run / "report.json").read_text()).get("seed", 0)


def table(teacher: Row, rows: Mapping[str, Row], metrics: Sequence[str]) -> str:
    """Return the costs and the metrics of all rows."""
    columns: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
        "true MACs, M": lambda network: network["macs"]["true"] / 1e6,
        "parameters": lambda network: network["parameters"],
    }
    columns |= {metric: lambda network, metric=metric: _value(network, metric) for metric in metrics}
    timed = bool(teacher.milliseconds)
    head = ["runs", *columns, *([MILLISECONDS] if timed else [])]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for name, row in {"teacher": teacher, **rows}.items():
        cells = [_cell([read(network) for network in row.networks]) for read in columns.values()]
        cells += [_cell(row.milliseconds)] if timed else []
        lines.append(f"| {name} | {len(row.networks)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def sign_tests(rows: Mapping[str, Row], baseline: str, metrics: Sequence[str]) -> str:
    """Return, for each row and metric, the seeds in which it is better than the baseline, and the test's p."""
    lines = [f"| better than {baseline} | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    base = dict(zip(rows[baseline].seeds, rows[baseline].networks, strict=True))
    for name, row in rows.items():
        if name != baseline:
            pairs = [
                (network, base[seed]) for seed, network in zip(row.seeds, row.networks, strict=True) if seed in base
            ]
            lines.append(f"| {name} | " + " | ".join(_wins(pairs, metric) for metric in metrics) + " |")
    return "\n".join(lines)


def _wins(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], metric: str) -> str:
    """Return the number of pairs whose first network is better, and the p of the sign test."""
    values = [(_value(one, metric), _value(other, metric)) for one, other in pairs]
    known = [(one, other) for one, other in values if one is not None and other is not None and one != other]
    if not known:
        return ""
    sign = -1 if pairs[0][0]["metrics"][metric]["better"] == "lower" else 1
    wins = sum(sign * one > sign * other for one, other in known)
    return f"{wins} of {len(known)}, p {sign_test(wins, len(known)):.2g}"


def sign_test(wins: int, pairs: int) -> float:
    """Return the two-sided p of so many wins if a win were as likely as a loss."""
    tail = sum(comb(pairs, count) for count in range(max(wins, pairs - wins), pairs + 1)) / 2**pairs
    return min(1.0, 2 * tail)


def measure(runs: Mapping[str, Sequence[Path]], teacher: Row, rows: Mapping[str, Row], turns: int) -> None:
    """Measure the processor time of the networks of all rows, in turns."""
    from gancompress.networks.generator import Generator

    torch.set_num_threads(1)
    first = next(iter(runs.values()))[0]
    folders = [first / "teacher", *(run for each in runs.values() for run in each)]
    networks = [Generator.load(folder).build().eval() for folder in folders]
    size = json.loads((first / "report.json").read_text())["input_size"]
    image = torch.zeros(*map(int, size.split("x")))
    least = [float("inf")] * len(networks)
    with torch.inference_mode():
        for turn in range(turns + 1):
            for number, network in enumerate(networks):
                began = time.process_time()
                network(image)
                spent = 1e3 * (time.process_time() - began)
                least[number] = min(least[number], spent) if turn else least[number]
    teacher.milliseconds, rest = [least[0]], iter(least[1:])
    for row in rows.values():
        row.milliseconds = [next(rest) for _ in row.networks]


def draw(teacher: Row, rows: Mapping[str, Row], metric: str, file: Path) -> None:
    """Draw the rows by quality, the best on top, beside their MACs and, if they were measured, their milliseconds.

    Rows without the metric are left out.
    """
    from matplotlib.figure import Figure

    rows = {name: row for name, row in rows.items() if _values(row, metric)}
    measured = (network["metrics"].get(metric) for row in rows.values() for network in row.networks)
    better = next(each["better"] for each in measured if each is not None)
    order = sorted(rows, key=lambda name: mean(_values(rows[name], metric)), reverse=better == "lower")
    panels = [(f"{metric.replace('_', ' ')}, {better} is better", lambda row: _values(row, metric))]
    panels.append(("MACs, million", lambda row: [network["macs"]["true"] / 1e6 for network in row.networks]))
    if teacher.milliseconds:
        panels.append(("processor milliseconds for one image", lambda row: row.milliseconds))
    figure = Figure(figsize=(2.6 + 3.2 * len(panels), 1.1 + 0.28 * len(order)), layout="constrained")
    for number, (label, figures) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), number)
        for height, name in enumerate(order):
            values = figures(rows[name])
            axes.errorbar(mean(values), height, xerr=_half(values) or None, fmt="o", color="#1f77b4", capsize=3)
        if known := figures(teacher):
            axes.axvline(mean(known), color="#444", linestyle="--", linewidth=1)
            axes.set_title("dashed: the teacher", fontsize="small", color="#444", loc="right")
        axes.set_yticks(range(len(order)), order if number == 1 else [""] * len(order))
        if number > 1:
            axes.set_xlim(left=0)  # equal costs are drawn as equal
        axes.set_xlabel(label)
        axes.grid(color="#d9dce1", linewidth=0.8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)


def _values(row: Row, metric: str) -> list[float]:
    return [value for network in row.networks if (value := _value(network, metric)) is not None]


def _value(network: Mapping[str, Any], metric: str) -> float | None:
    return network["metrics"].get(metric, {}).get("value")


def _half(values: Sequence[float]) -> float:
    """Return half of the 95 % interval of a mean; 0 for one value."""
    if len(values) < 2:
        return 0.0
    return T_975[min(len(values) - 2, len(T_975) - 1)] * stdev(values) / sqrt(len(values))


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    half = _half(known)
    return _text(mean(known)) + (f" ± {_text(half)}" if half else "")


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


if __name__ == "__main__":
    main()
