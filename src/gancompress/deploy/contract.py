"""Contract of a file, as text in its metadata: inputs, outputs and rewrites."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gancompress.deploy.rewrites import Change
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator

_TEXTS = {"family", "plan", "precision"}
_OF_CHANNELS = ("channels", "range", "encoding")


def metadata_of(generator: Generator, form: FileForm, changes: Sequence[Change] = ()) -> dict[str, str]:
    """Return the metadata of a file: the contract and the facts of its form.

    For a file of label maps the contract omits channels, range and encoding, which describe the network's own input.

    Args:
        generator: The generator.
        form: Form in which the file takes its inputs.
        changes: Changes by the rewrites.
    """
    contract = contract_of(generator, changes)
    if "labels" in form.facts:
        contract = {name: value for name, value in contract.items() if name not in _OF_CHANNELS}
    return {**to_text({**contract, **tiles_of(generator, form)}), **form.facts}


def contract_of(generator: Generator, changes: Sequence[Change] = ()) -> dict[str, Any]:
    """Return family, plan, contracts of input and output, and the rewrites that changed something.

    Args:
        generator: The generator; of an undescribed one only the name is known.
        changes: Changes by the rewrites.
    """
    contract: dict[str, Any] = {
        "family": generator.family,
        "plan": generator.architecture.plan_string() or "",
        "rewrites": [asdict(change) for change in changes if change.layers],
    }
    output = generator.architecture.output_contract()
    return {**contract, **generator.architecture.input_contract(), **({"output": output} if output else {})}


def tiles_of(generator: Generator, form: FileForm) -> dict[str, Any]:
    """Return the tiles that a network from one image to images can be run by, as ``tiles``; None if it is not local.

    The result is empty for networks of other inputs, and for those that fail on the images of the measurement.
    """
    first = form.inputs[0]
    if len(form.inputs) > 1 or first.dim() != 4 or not first.is_floating_point():
        return {}
    try:
        locality = generator.locality(first.shape[1])
    except Exception:  # a network may refuse sizes for any reason
        return {}
    return {"tiles": None if locality is None else locality.describe()}


def to_text(contract: Mapping[str, Any]) -> dict[str, str]:
    """Encode a contract as a file's metadata: names as text, everything else as JSON."""
    return {name: value if name in _TEXTS else json.dumps(value) for name, value in contract.items()}


def from_text(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Decode the contract in a file's metadata; values that are no JSON stay text."""

    def parsed(name: str, text: str) -> Any:
        try:
            return text if name in _TEXTS else json.loads(text)
        except ValueError:
            return text

    return {name: parsed(name, text) for name, text in metadata.items()}
