"""Batches that are shared by several networks, run one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

from gancompress.networks.given import NamedInputs
from gancompress.training import Batch

GIB = 2**30


class HeldBatches:
    """Batches that are kept in memory after the first pass if all of them fit; otherwise each pass makes them again."""

    def __init__(self, make: Callable[[], Iterable[Batch]], max_gib: float) -> None:
        """Take the function that makes the batches; nothing is made yet.

        Args:
            make: Makes all batches, the same ones each time.
            max_gib: Largest memory of their tensors, in GiB.
        """
        self._make, self._max_bytes = make, int(max_gib * GIB)
        self._held: list[Batch] | None = None
        self._fits = True

    def __iter__(self) -> Iterator[Batch]:
        """Yield all batches, in order."""
        if self._held is not None:
            yield from self._held
            return
        held: list[Batch] = []
        num_bytes = 0
        for batch in self._make():
            if self._fits:
                num_bytes += sum(value.nbytes for value in batch.values() if isinstance(value, Tensor | NamedInputs))
                self._fits = num_bytes <= self._max_bytes
                if self._fits:
                    held.append(batch)
                else:
                    held.clear()
            yield batch
        if self._fits:
            self._held = held
