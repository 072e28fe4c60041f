"""Batches that several networks are run on, one network after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

from gancompress.training import Batch

GIB = 2**30


class HeldBatches:
    """Batches that are made once and kept in memory where all of them fit; else they are made anew for each pass."""

    def __init__(self, make: Callable[[], Iterable[Batch]], max_gib: float) -> None:
        """Nothing is made yet.

        Args:
            make: Makes all batches, the same ones each time.
            max_gib: The most memory that their tensors may take, in GiB.
        """
        self._make, self._max_bytes = make, int(max_gib * GIB)
        self._held: list[Batch] | None = None
        self._fits = True

    def __iter__(self) -> Iterator[Batch]:
        """All batches, in order."""
        if self._held is not None:
            yield from self._held
            return
        held: list[Batch] = []
        num_bytes = 0
        for batch in self._make():
            if self._fits:
                num_bytes += sum(value.nbytes for value in batch.values() if isinstance(value, Tensor))
                self._fits = num_bytes <= self._max_bytes
                if self._fits:
                    held.append(batch)
                else:
                    held.clear()
            yield batch
        if self._fits:
            self._held = held
