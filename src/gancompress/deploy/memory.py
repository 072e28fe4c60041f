"""Memory between the steps of an export: what a step freed is given back before the next one."""

from __future__ import annotations

import ctypes
import gc
import sys

from torch import nn

_LARGE_BYTES = 2**26


def give_back_memory(network: nn.Module) -> None:
    """Give freed memory back to the system, if the network is large.

    Traces hold weights in cycles of references, and glibc keeps what is freed between blocks in use. A runtime has an
    allocator of its own, which cannot use either.
    """
    if sum(each.numel() * each.element_size() for each in network.parameters()) < _LARGE_BYTES:
        return
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
        if trim is not None:
            trim(0)
