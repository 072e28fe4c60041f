"""Print one Markdown table of finished runs, side by side: costs and metrics of each result, means over seeds.

    python scripts/compare_runs.py compressed=runs/a,runs/a-1 scratch=runs/b,runs/b-1

The first line is the teacher of the first run. If a row has several runs, a value is their mean, with the smallest and
the largest in brackets. ``--metrics a,b`` chooses the metrics and their order; metrics that are not in a recipe are
added to a run's report by ``gancompress evaluate RUN --teacher --report --set metrics...``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Read = Callable[[Mapping[str, Any]], float | None]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+", metavar="NAME=RUN[,RUN...]")
    parser.add_argument("--metrics", metavar="NAME[,NAME...]", help="all that any of the runs has where left out")
    arguments = parser.parse_args()
    rows = {}
    for row in arguments.rows:
        name, _, runs = row.partition("=")
        rows[name] = [_networks(Path(run)) for run in runs.split(",")]
    teacher = next(iter(rows.values()))[0]["teacher"]
    compressed = {name: [networks["compressed"] for networks in runs] for name, runs in rows.items()}
    known = dict.fromkeys(m for runs in compressed.values() for network in runs for m in network["metrics"])
    metrics = list(known) if arguments.metrics is None else arguments.metrics.split(",")
    if missing := [metric for metric in metrics if metric not in known]:
        parser.error(f"--metrics: got {', '.join(missing)}, expected metrics of these runs: {', '.join(known)}")
    columns: dict[str, Read] = {"true MACs": lambda n: n["macs"]["true"] / 1e6, "parameters": lambda n: n["parameters"]}
    columns |= {metric: lambda n, metric=metric: n["metrics"].get(metric, {}).get("value") for metric in metrics}
    print("| | runs | " + " | ".join(name if name != "true MACs" else "true MACs, M" for name in columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for name, networks in {"teacher": [teacher], **compressed}.items():
        cells = [_cell([read(network) for network in networks]) for read in columns.values()]
        print(f"| {name} | {len(networks)} | " + " | ".join(cells) + " |")


def _networks(run: Path) -> dict[str, Mapping[str, Any]]:
    return {network["name"]: network for network in json.loads((run / "report.json").read_text())["networks"]}


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    mean = _text(sum(known) / len(known))
    return mean if len(known) == 1 else f"{mean} [{_text(min(known))}, {_text(max(known))}]"


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


if __name__ == "__main__":
    main()
