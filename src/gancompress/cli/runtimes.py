"""Verb ``runtimes``: list formats of files and runtimes."""

from __future__ import annotations

import json

from rich.table import Table

from gancompress.cli.options import JsonOption, console


def runtimes(as_json: JsonOption = False) -> None:
    """List the formats that export writes, and the runtimes that bench and latency budgets may name."""
    from gancompress.deploy.benchmark.support import (
        FORMAT_HEAD,
        RUNTIME_HEAD,
        format_rows,
        runtime_rows,
        unavailable_here,
    )

    missing = unavailable_here()
    tables = ((FORMAT_HEAD, format_rows()), (RUNTIME_HEAD, runtime_rows()))
    if as_json:
        named = [[dict(zip(head, row, strict=True)) for row in rows] for head, rows in tables]
        print(json.dumps({"formats": named[0], "runtimes": named[1], "unavailable": missing}, indent=2))
        return
    for head, rows in tables:
        table = Table(*head, box=None)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        console.print()
    for name, reason in missing.items():
        console.print(f"not on this machine: {name} {reason}", highlight=False, markup=False, soft_wrap=True)
