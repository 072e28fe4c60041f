"""What a file's user must know: what goes in, what comes out, and what was rewritten; as text in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gancompress.export.rewrites import Change
from gancompress.models.file_form import FileForm
from gancompress.models.generator import Generator

_TEXTS = {"family", "plan", "precision"}
_OF_CHANNELS = ("channels", "range", "encoding")


def metadata_of(generator: Generator, form: FileForm, changes: Sequence[Change] = ()) -> dict[str, str]:
    """The metadata of a file: the contract, and what its form adds; of label maps not what the network makes of them.

    Args:
        generator: The generator.
        form: How the file takes its inputs.
        changes: What the rewrites did.
    """
    contract = contract_of(generator, changes)
    if "labels" in form.facts:
        contract = {name: value for name, value in contract.items() if name not in _OF_CHANNELS}
    return {**to_text(contract), **form.facts}


def contract_of(generator: Generator, changes: Sequence[Change] = ()) -> dict[str, Any]:
    """Family, plan, what an input must be like, what an output is like, and the rewrites that changed something.

    Args:
        generator: The generator; of one that nobody described nothing is known but its name.
        changes: What the rewrites did.
    """
    contract: dict[str, Any] = {
        "family": generator.family,
        "plan": generator.architecture.plan_string() or "",
        "rewrites": [asdict(change) for change in changes if change.layers],
    }
    output = generator.architecture.output_contract()
    return {**contract, **generator.architecture.input_contract(), **({"output": output} if output else {})}


def to_text(contract: Mapping[str, Any]) -> dict[str, str]:
    """The contract as a file's metadata: names as they are, everything else as JSON."""
    return {name: value if name in _TEXTS else json.dumps(value) for name, value in contract.items()}


def from_text(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The contract in a file's metadata; what is no JSON stays text."""

    def parsed(name: str, text: str) -> Any:
        try:
            return text if name in _TEXTS else json.loads(text)
        except ValueError:
            return text

    return {name: parsed(name, text) for name, text in metadata.items()}
