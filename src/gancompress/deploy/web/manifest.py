"""Manifest of a page: its contents and the facts about its networks, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from PIL import Image

from gancompress.cost.measured import evaluation_mode, measure
from gancompress.data.palette import DONT_CARE, Rgb, distinct_colour
from gancompress.deploy.contract import contract_of
from gancompress.deploy.named import NamedNetwork
from gancompress.deploy.parity import ExportReport
from gancompress.errors import ExportError
from gancompress.networks.file_form import FileForm
from gancompress.networks.outputs import named_outputs

FORMAT = "gancompress-page"

Start = Literal["sketch", "photo"]
"""Initial input on the page of a network of images: a pad to draw on, or a photograph."""


@dataclass(frozen=True)
class Sample:
    """Sample input on a page.

    Attributes:
        name: Name for display.
        image: Its pixels; for a label map the numbers of the labels, mode L.
    """

    name: str
    image: Image.Image


@dataclass(frozen=True)
class Contents:
    """Contents of a page other than the networks.

    Attributes:
        title: Title of the page.
        start: Initial input, if the networks take images.
        names: Names of the classes, if they take label maps or noise with a class.
        colours: Colours of the classes of label maps; distinct ones by default.
        samples: Sample inputs.
        directions: Unit vectors in noise space to move along.
    """

    title: str
    start: Start = "photo"
    names: Sequence[str] = ()
    colours: Sequence[Rgb] = ()
    samples: Sequence[Sample] = ()
    directions: Sequence[Sequence[float]] = field(default=())


def kind_of(form: FileForm) -> Literal["image", "labels", "latent"]:
    """Return the kind of a file's input.

    Raises:
        ExportError: No page can make such an input.
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
    """Check that a page can show the networks, before anything is exported.

    Raises:
        ExportError: See `kind_of`; a network has several outputs; or networks differ in their inputs.
    """
    first = networks[0]
    kind_of(first.form)
    for each in networks:
        _check_output(each)
    wanted = [tuple(each.shape) for each in first.form.inputs]
    for other in networks[1:]:
        got = [tuple(each.shape) for each in other.form.inputs]
        if got != wanted:
            raise ExportError(f"web: got {other.name} with inputs {got}, expected {wanted}, those of {first.name}")


def _check_output(network: NamedNetwork) -> None:
    """Raise ExportError if a network has several outputs, of which a page would show one without a word."""
    module = network.form.module
    with evaluation_mode(module), torch.no_grad():
        outputs = named_outputs(module(*network.form.inputs))
    if len(outputs) > 1:
        raise ExportError(
            f"web: got a network of the outputs {', '.join(outputs)}, expected one image; take a format of files, such "
            "as onnx, or a network that returns the image alone"
        )


def manifest_of(
    contents: Contents, networks: Sequence[NamedNetwork], reports: Sequence[ExportReport]
) -> dict[str, Any]:
    """Return the manifest of a page.

    Args:
        contents: Contents of the page.
        networks: Its networks; all take the same inputs.
        reports: Reports of their files.
    """
    return {
        "format": FORMAT,
        "title": contents.title,
        "input": _input(contents, networks[0]),
        "networks": [_network(each, report) for each, report in zip(networks, reports, strict=True)],
        "samples": [{"name": each.name, "file": sample_file(i)} for i, each in enumerate(contents.samples)],
    }


def sample_file(index: int) -> str:
    """Return the path of a sample in the page's folder."""
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
