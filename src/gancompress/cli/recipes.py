"""Verb ``recipes``: list the recipes that ship with the package, or print one."""

from __future__ import annotations

from typing import Annotated

import typer

from gancompress.cli.options import console


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to print.")] = None,
    experiments: Annotated[
        bool, typer.Option("--experiments", help="List those that need a file that is not public.")
    ] = False,
) -> None:
    """List the recipes that come with gancompress, grouped by what they need, or print one."""
    from rich.padding import Padding

    from gancompress.jobs.recipe_text import recipe_names, recipe_summary, recipe_text
    from gancompress.recipes.summary import GROUPS

    if name is not None:
        print(recipe_text(name), end="")
        return
    summaries = [recipe_summary(known) for known in recipe_names()]
    *listed, private = GROUPS
    for group in [private] if experiments else listed:
        console.print(f"\n[bold]{group}[/bold]", highlight=False)
        for each in summaries:
            if each.group == group:
                wanted = ", ".join(need.path for need in each.needs) or "nothing"
                downloads = ", ".join(each.name for each in each.downloads)
                downloads = f"; downloads {downloads}" if downloads else ""
                console.print(f"  [bold]{each.name}[/bold]", highlight=False)
                about = f"{each.words}\n[dim]trains on {each.training}; needs {wanted}{downloads}[/dim]"
                console.print(Padding(about, (0, 0, 0, 4)), highlight=False)
    console.print(
        "\ngancompress data NAME says which of these files are missing, and where to get them.", highlight=False
    )
    if not experiments:
        count = sum(each.group == private for each in summaries)
        console.print(
            f"{count} more are experiments with a file that is not public: gancompress recipes --experiments",
            highlight=False,
        )
