"""Registry of importers, open to other packages: one file reads one kind of source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from gancompress.networks.generator import Generator
from gancompress.networks.importers.source import Source
from gancompress.registry import Registry

_PACKAGE = __name__.rpartition(".")[0]


class Importer(ABC):
    """Reader of one kind of source. Nothing in a source is executed.

    Attributes:
        takes_any_file: True for one that recognises a network by its tensors, in a file of any name. Those are asked
            after all others.
    """

    takes_any_file: ClassVar[bool] = False

    @abstractmethod
    def accepts(self, source: Source) -> bool:
        """Return whether the source is of this kind, by its name and options."""

    @abstractmethod
    def load(self, source: Source) -> Generator:
        """Load the network.

        Raises:
            Unrecognized: It is none that this importer knows; the next one is asked.
            GanCompressError: It cannot be loaded.
        """


IMPORTERS: Registry[Importer] = Registry(
    "importers",
    "an importer",
    modules=tuple(
        f"{_PACKAGE}.{name}"
        for name in ("saved", "onnx.importer", "ncnn.importer", "user_class", "families", "spandrel")
    ),
    values=Importer,
)
"""Importers by name, in the order in which they are asked."""

register_importer = IMPORTERS.register
"""Return a decorator that adds an importer under a name."""
