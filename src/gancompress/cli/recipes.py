"""Verb ``recipes``: list the recipes that ship with the package, or print one."""

from __future__ import annotations

from typing import Annotated

import typer

from gancompress.cli.options import console


def recipes(name: Annotated[str | None, typer.Argument(help="A recipe to print.")] = None) -> None:
    """List the recipes that come with gancompress, grouped by the files that they need, or print one."""
    from rich.padding import Padding

    from gancompress.jobs.recipe_text import recipe_names, recipe_summary, recipe_text
    from gancompress.recipes.summary import GROUPS

    if name is not None:
        print(recipe_text(name), end="")
        return
    summaries = [recipe_summary(known) for known in recipe_names()]
    for group in GROUPS:
        console.print(f"\n[bold]{group}[/bold]", highlight=False)
        for each in summaries:
            if each.group == group:
                wanted = ", ".join(need.path for need in each.needs) or "nothing"
                console.print(f"  [bold]{each.name}[/bold]", highlight=False)
                about = f"{each.words}\n[dim]trains on {each.training}; needs {wanted}[/dim]"
                console.print(Padding(about, (0, 0, 0, 4)), highlight=False)
    console.print(
        "\ngancompress data NAME says which of these files are missing, and where to get them.", highlight=False
    )
