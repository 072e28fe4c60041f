"""Verbs that inspect a network, and narrow it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gancompress.cli.options import (
    FamilyOption,
    InputOption,
    JsonOption,
    LabelsOption,
    RangeOption,
    SetOption,
    SizeOption,
    Source,
    TrustOption,
    console,
    notices,
)

if TYPE_CHECKING:
    from gancompress.channels import ChannelGraph, ChannelPlan
    from gancompress.reconstruction import RefitReport


def inspect(
    source: Source,
    options: SetOption = [],  # noqa: B006
    family: FamilyOption = None,
    image_range: RangeOption = None,
    size: SizeOption = "256x256",
    inputs: InputOption = [],  # noqa: B006
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a network's channel groups, parameters, MACs in every convention, and memory."""
    from gancompress.channels import lies_in, trace
    from gancompress.cli.parsing import example_inputs, open_generator
    from gancompress.cli.tables import cost_table, description
    from gancompress.cost import CostModel
    from gancompress.networks.branches import said_of
    from gancompress.networks.fold_branches import fold_generator

    generator = open_generator(source, family, options, image_range, trust=trust)
    shapes = example_inputs(generator, size, inputs)
    generator = fold_generator(generator, shapes)
    network = generator.skeleton()
    on_meta = any(parameter.is_meta for parameter in network.parameters())
    graph = trace(network, [each.to("meta") for each in shapes] if on_meta else shapes)
    cost = CostModel(graph).at(graph.full_plan())
    if as_json:
        print(json.dumps(description(generator, graph, cost, shapes), indent=2))
        return
    plan = generator.architecture.plan_string()
    console.print(f"[bold]{generator.family}[/bold]" + (f"  plan {plan}" if plan else ""))
    if generator.architecture.left_out:
        console.print(f"left out: {', '.join(generator.architecture.left_out)}")
    if generator.architecture.folded:
        console.print(said_of(generator.architecture.folded), highlight=False, soft_wrap=True)
    console.print(cost_table([("", cost)]))
    table = Table("channel group", "channels", "layers that write it", "layers that read it", box=None)
    for name, group in graph.groups.items():
        layers = (len({n for n, _, _ in graph.members(name, roles)}) for roles in (("out", "depthwise"), ("in",)))
        table.add_row(name, str(group.size), *map(str, layers))
    console.print(table)
    if graph.blocks:
        layers = CostModel(graph).layers(graph.full_plan())
        table = Table("block that can be left out", "share of the MACs", box=None)
        for name in graph.blocks:
            own = sum(macs.true for layer, macs in layers.items() if lies_in(layer, name))
            table.add_row(name, f"{100 * own / max(cost.macs.true, 1):.1f} %")
        console.print(table)
    for fixed in graph.fixed:
        console.print(f"[yellow]not followed:[/yellow] {fixed}" if fixed.unfollowed else f"[dim]fixed: {fixed}[/dim]")


def prune(
    source: Source,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for the narrow network.")],
    keep: Annotated[float | None, typer.Option(help="Fraction of every group's channels to keep, 0 to 1.")] = None,
    macs: Annotated[str | None, typer.Option(help="Most MACs, such as 3G or 500M.")] = None,
    plan: Annotated[
        str | None,
        typer.Option(help="The widths: 16_16_32_..., as the papers write them, or a JSON object by channel group."),
    ] = None,
    depth: Annotated[
        str | None,
        typer.Option(
            help="Fraction of the residual blocks to keep, 0 to 1; or auto, with --macs: the number of blocks that is "
            "nearest to the network on the images of --refit or --images."
        ),
    ] = None,
    left_out: Annotated[
        list[str], typer.Option(help="A residual block to leave out, such as body.3 or 'body.1?'; repeatable.")
    ] = [],  # noqa: B006
    convention: Annotated[str, typer.Option(help="What --macs counts: true, outsize, gc or gi MACs.")] = "true",
    score: Annotated[
        str, typer.Option(help="What makes a channel important: a name, or '{kind: content_aware, mask: ellipse}'.")
    ] = "l1_incoming",
    images: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Images for scores that run a network of images.")
    ] = None,
    multiple: Annotated[int, typer.Option(help="Widths are multiples of this.")] = 8,
    minimum: Annotated[int, typer.Option(help="The narrowest width.")] = 8,
    refit: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Solve for the layers that are left by least squares, on images (label maps with --labels) like those "
            "that the network will get. A generator from noise draws its own: name any folder.",
        ),
    ] = None,
    refit_images: Annotated[int, typer.Option(min=2, help="Images for --refit, a 96x96 crop of each.")] = 64,
    labels: LabelsOption = None,
    fixed: Annotated[list[str], typer.Option(help="A channel group to leave at full width; repeatable.")] = [],  # noqa: B006
    loadable: Annotated[
        bool,
        typer.Option(
            "--loadable",
            help="Keep widths in the form that the network's constructor can express, and also write a file that opens "
            "where the original does.",
        ),
    ] = False,
    options: SetOption = [],  # noqa: B006
    family: FamilyOption = None,
    image_range: RangeOption = None,
    size: SizeOption = "256x256",
    inputs: InputOption = [],  # noqa: B006
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Narrow a network to its most important channels."""
    from gancompress.channels import trace
    from gancompress.cli.calibration import refit_inputs
    from gancompress.cli.depth import Blocks, parse_depth
    from gancompress.cli.parsing import example_inputs, open_generator, parse_score_text, probe_of
    from gancompress.cli.width import Width
    from gancompress.errors import PlanError
    from gancompress.importance import find_score
    from gancompress.methods.generators import refitted, sort
    from gancompress.methods.save_like import save_beside
    from gancompress.networks.cut import cut
    from gancompress.networks.fold_branches import fold_generator
    from gancompress.networks.loadable import loadable as in_loadable_form
    from gancompress.networks.loadable import loadable_slots

    width, stays = Width(keep, macs, plan, convention), parse_depth(depth)
    if stays == "auto" and width.limit is None:
        raise PlanError("--depth: got auto without --macs, expected --macs as the budget instead of --keep or --plan")
    generator = open_generator(source, family, options, image_range, trust=trust)
    shapes = example_inputs(generator, size, inputs)
    say = partial(notices.print, highlight=False, soft_wrap=True)
    if not loadable:
        generator = fold_generator(generator, shapes, say)
    # An explicit plan is used unchanged, whatever its multiples.
    multiple, minimum = (multiple, minimum) if plan is None else (1, 1)
    graph = trace(generator.build(), shapes, multiple=multiple, minimum=minimum, fixed=fixed)
    if loadable:
        graph = replace(graph, slots=loadable_slots(generator, graph))
    folder = refit or (Path(images) if images else None)
    blocks = Blocks(generator, graph, stays, left_out, folder, shapes, labels, refit_images)
    wide = sort(generator, graph, find_score(parse_score_text(score), probe_of(generator, shapes, images)))
    chosen = width.of(wide, graph, blocks, refitted=refit is not None, say=say)
    small, report, like = cut(wide, graph, chosen), None, None
    if refit is not None:
        given = refit_inputs(generator, refit, shapes, labels, refit_images)
        small, report = refitted(small, wide, graph, chosen, given)
    if loadable:
        small = in_loadable_form(small)
        like = save_beside(small, source, out, say)
    small.save(out)
    _show_pruned(out, graph, chosen, report, like, as_json)


def _show_pruned(
    out: Path, graph: ChannelGraph, plan: ChannelPlan, report: RefitReport | None, like: Path | None, as_json: bool
) -> None:
    from gancompress.cli.tables import cost_json, cost_table
    from gancompress.cost import CostModel

    model = CostModel(graph)
    before, after = model.at(graph.full_plan()), model.at(plan)
    if as_json:
        facts = {} if report is None else {"refit": asdict(report)}
        written = {
            "directory": str(out),
            "widths": dict(plan.widths),
            **({"left_out": sorted(plan.left_out)} if plan.left_out else {}),
            **({} if like is None else {"file": str(like)}),
        }
        print(json.dumps(written | cost_json(after) | facts, indent=2))
        return
    console.print(cost_table([("before", before), ("after", after)]))
    if report is not None:
        console.print(str(report), soft_wrap=True)
    console.print(f"written to {out}")
