"""Verb ``data``: check data before training."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.table import Table

from gancompress.cli.options import JsonOption, Recipe, RecipeOption, console, notices
from gancompress.errors import DataError

if TYPE_CHECKING:
    import torch

    from gancompress.jobs.recipe import Job


def data(
    recipe: Recipe,
    options: RecipeOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Say which files of a recipe are missing and where to get them, then open every file of every split of its data.

    For label maps it prints how much of each class there is.
    """
    import torch

    from gancompress.data import Classes, DataConfig, make_ordered_loader
    from gancompress.jobs.recipe import load_job

    job = load_job(recipe, options)
    _report_missing(recipe, job)
    job.data.check_splits()

    def look(config: DataConfig, split: str) -> tuple[int, torch.Tensor | None]:
        """Count the images of a split, and the pixels of each class, "don't care" last."""
        count, pixels = 0, None
        for batch in make_ordered_loader(config.open(split), 1, num_workers=job.num_workers):
            count += 1
            if "label" in batch and isinstance(classes, Classes):
                found = torch.bincount(batch["label"].flatten(), minlength=classes.num_classes + 1)
                pixels = found if pixels is None else pixels + found
        return count, pixels

    classes = getattr(job.data, "classes", None)
    seen = {split: look(job.data, split) for split in job.data.split_names()}
    shares: dict[str, dict[str, float]] = {}
    if isinstance(classes, Classes):
        names = [*classes.shown_names, "don't care"]
        for split, (_, pixels) in seen.items():
            if pixels is not None:
                shares[split] = dict(zip(names, (pixels / pixels.sum()).tolist(), strict=True))
    if as_json:
        print(json.dumps({split: {"images": n, "shares": shares.get(split, {})} for split, (n, _) in seen.items()}))
        return
    console.print("  ".join(f"{split} {count:,}" for split, (count, _) in seen.items()), highlight=False)
    if shares:
        table = Table("class", *shares, box=None)
        for name in next(iter(shares.values())):
            table.add_row(name, *(f"{100 * found[name]:.2f} %" for found in shares.values()))
        console.print(table)


def _report_missing(recipe: str, job: Job) -> None:
    """Print the files that a job lacks, with their sources.

    Raises:
        DataError: Its data is among them.
    """
    from gancompress.recipes.needs import downloads_of, needs_of

    options = job.model_dump(mode="json")
    missing = [need for need in needs_of(options) if not need.is_there]
    for need in missing:
        notices.print(f"missing {need}", highlight=False, soft_wrap=True, markup=False)
    for download in downloads_of(options):
        if not download.path.exists():
            notices.print(f"to come {download}", highlight=False, soft_wrap=True, markup=False)
    lacking = [need.path for need in needs_of({"data": options["data"]}) if need in missing]
    if lacking:
        raise DataError(
            f"{recipe}: found no {' and no '.join(lacking)}, expected the data of the recipe; get it as said above, or "
            "name another place with --set data.root=..."
        )
