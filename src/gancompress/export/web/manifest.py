"""What a page shows, and what its program must know about the networks; as JSON beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from PIL import Image

from gancompress.cost.measured import measure
from gancompress.data.palette import DONT_CARE, Rgb, distinct_colour
from gancompress.errors import ExportError
from gancompress.export.contract import contract_of
from gancompress.export.named import NamedNetwork
from gancompress.export.parity import ExportReport
from gancompress.models.file_form import FileForm

FORMAT = "gancompress-page"

Start = Literal["sketch", "photo"]
"""What the page of a network of images begins with: a pad to draw on, or a photograph."""


@dataclass(frozen=True)
class Sample:
    """An input to begin with.

    Attributes:
        name: For people.
        image: Its pixels; of a label map the numbers of the labels, mode L.
    """

    name: str
    image: Image.Image


@dataclass(frozen=True)
class Contents:
    """What is on a page beside the networks.

    Attributes:
        title: At its head.
        start: What it begins with, where the networks take images.
        names: Of the classes, where they take label maps or noise with a class.
        colours: Of the classes of label maps; distinct ones where left out.
        samples: Inputs to begin with.
        directions: Unit vectors in the space of the noise to move along.
    """

    title: str
    start: Start = "photo"
    names: Sequence[str] = ()
    colours: Sequence[Rgb] = ()
    samples: Sequence[Sample] = ()
    directions: Sequence[Sequence[float]] = field(default=())


def kind_of(form: FileForm) -> Literal["image", "labels", "latent"]:
    """What a file takes.

    Raises:
        ExportError: Something that no page can make.
    """
    first = form.inputs[0]
    if not first.is_floating_point() and first.dim() == 3:
        return "labels"
    if len(form.inputs) == 1 and first.dim() == 2:
        return "latent"
    if len(form.inputs) == 1 and first.dim() == 4 and first.shape[1] in (1, 3):
        return "image"
    shapes = ", ".join("x".join(map(str, each.shape)) for each in form.inputs)
    raise ExportError(
        f"web: got a network of {shapes}, expected images of 1 or 3 channels, one vector of noise, or label maps "
        "(--labels N, where its channels are those of N labels)"
    )


def check_networks(networks: Sequence[NamedNetwork]) -> None:
    """Refuse what no page can show, before anything is exported.

    Raises:
        ExportError: As `kind_of`, or networks differ in what they take.
    """
    first = networks[0]
    kind_of(first.form)
    wanted = [tuple(each.shape) for each in first.form.inputs]
    for other in networks[1:]:
        got = [tuple(each.shape) for each in other.form.inputs]
        if got != wanted:
            raise ExportError(f"web: got {other.name} with inputs {got}, expected {wanted}, those of {first.name}")


def manifest_of(
    contents: Contents, networks: Sequence[NamedNetwork], reports: Sequence[ExportReport]
) -> dict[str, Any]:
    """All that the page's program must know.

    Args:
        contents: What is on the page.
        networks: What it runs; all take the same.
        reports: Of their files.
    """
    return {
        "format": FORMAT,
        "title": contents.title,
        "input": _input(contents, networks[0]),
        "networks": [_network(each, report) for each, report in zip(networks, reports, strict=True)],
        "samples": [{"name": each.name, "file": sample_file(i)} for i, each in enumerate(contents.samples)],
    }


def sample_file(index: int) -> str:
    """Where in the page's folder a sample lies."""
    return f"samples/{index}.png"


def _input(contents: Contents, network: NamedNetwork) -> dict[str, Any]:
    form, kind = network.form, kind_of(network.form)
    names = list(form.names or ("input",))
    if kind == "latent":
        size = form.inputs[0].shape[1]
        return {
            "kind": kind,
            "names": names,
            "noise_size": size - len(contents.names),
            "classes": list(contents.names),
            "directions": [list(each) for each in contents.directions],
        }
    contract = contract_of(network.generator)
    sizes = {
        "height": form.inputs[0].shape[-2],
        "width": form.inputs[0].shape[-1],
        "multiple": contract.get("size_multiple_px", 1),
        "smallest": contract.get("min_size_px", 1),
    }
    if kind == "image":
        return {"kind": kind, "names": names, **sizes, "channels": form.inputs[0].shape[1], "start": contents.start}
    return {"kind": kind, "names": names, **sizes, "edges": len(names) > 1, "labels": _labels(contents, form)}


def _labels(contents: Contents, form: FileForm) -> list[dict[str, Any]]:
    count = int(form.facts["labels"])
    unknown = int(form.facts.get("dont_care", count))
    colours = list(contents.colours) or [distinct_colour(number) for number in range(count)]
    names = list(contents.names) or [str(number) for number in range(count)]
    return [
        {"name": "don't care", "colour": list(DONT_CARE)}
        if number == unknown
        else {"name": names[number], "colour": list(colours[number])}
        for number in range(count)
    ]


def _network(network: NamedNetwork, report: ExportReport) -> dict[str, Any]:
    structure = network.generator.architecture.skeleton_with(network.generator.state)
    device = next(structure.parameters()).device
    cost = measure(structure, tuple(each.to(device) for each in network.example))
    return {
        "name": network.name,
        "file": f"{network.name}.onnx",
        "file_bytes": report.file_bytes,
        "parameters": cost.parameters,
        "macs": cost.macs.true,
        "max_difference": report.max_difference,
        "rewrites": [asdict(change) for change in report.rewrites if change.layers],
    }
