"""Sources of networks, as importers take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from gancompress.errors import CheckpointError
from gancompress.io.trust import Trust
from gancompress.networks.checkpoint_file import CheckpointFile
from gancompress.networks.image_format import Images
from gancompress.networks.registry import Family, UserClass

CLOSE = 0.5
"""Share of matching tensors above which a network is the wanted one with faults; nothing else is then tried."""


class Unrecognized(CheckpointError):
    """A source that an importer does not recognise; the next one may.

    Attributes:
        agreement: Share of the tensors that fit the nearest network; below 0 if there is none.
        hint: Advice at the end of the message if no importer recognises the source.
    """

    def __init__(self, message: str, agreement: float = -1.0, hint: str = "") -> None:
        super().__init__(message)
        self.agreement, self.hint = agreement, hint


@dataclass(frozen=True)
class Source:
    """A directory or file, and the options of its reading.

    Attributes:
        path: The directory or file.
        key: Name of one network in it; None for the first that fits.
        known: Family or class of its network; None if it is inferred.
        config: Options of the family, or arguments of the class; None infers them.
        role: Network to take from a file that holds both.
        images: Formats of its images, to declare them.
        say: Prints a line about what else the file holds.
        trust: Consent to build a class that the source names.
    """

    path: Path
    key: str | None = None
    known: Family | UserClass | None = None
    config: Mapping[str, Any] | None = None
    role: Literal["generator", "discriminator"] = "generator"
    images: Images | None = None
    say: Callable[[str], None] | None = None
    trust: Trust = False

    @cached_property
    def file(self) -> CheckpointFile:
        """The file of weights. Raises CheckpointError as `CheckpointFile.open`."""
        return CheckpointFile.open(self.path)

    def check_alone(self, what: str) -> None:
        """Reject a key, a family and a config for a source that holds one whole network.

        Args:
            what: Kind of source in the message, such as "an ONNX file".

        Raises:
            CheckpointError: One is given.
        """
        if self.key is not None:
            raise CheckpointError(
                f"{self.path}#{self.key}: got a key for {what}, which holds one network; leave '#{self.key}' out"
            )
        if self.known is not None:
            raise CheckpointError(
                f"{self.path}: got the family {self.known.name} for {what}, which says its network itself; leave the "
                "family out"
            )
