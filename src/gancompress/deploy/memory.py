"""Memory between the steps of an export: what a step freed or can read again is given back before the next one."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from torch import nn

_LARGE_BYTES = 2**26
_DROP = 4
"""MADV_DONTNEED of Linux, on all of its processors."""
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+)")
"""Addresses and inode, which is 0 for memory without a file. Source: https://docs.kernel.org/filesystems/proc.html"""


def give_back_memory(network: nn.Module) -> None:
    """Give freed memory back to the system, and the mapped weights of the network, if it is large.

    Traces hold weights in cycles of references, and glibc keeps what is freed between blocks in use. A runtime has an
    allocator of its own, which cannot use either.
    """
    if not _is_large(network):
        return
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
        if trim is not None:
            trim(0)
    give_back_mapped(network)


def give_back_mapped(network: nn.Module) -> None:
    """Give back the pages of weights that are mapped from a file, if the network is large; their next use reads them.

    A file of which a page was changed in memory is left alone, because the change would be lost.
    """
    if sys.platform != "linux" or not _is_large(network):
        return
    places = {each.data_ptr() for each in chain(network.parameters(), network.buffers()) if each.device.type == "cpu"}
    advise = ctypes.CDLL(None).madvise
    for start, end in _unchanged_mappings():
        if any(start <= place < end for place in places):
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DROP)


def _is_large(network: nn.Module) -> bool:
    return sum(each.numel() * each.element_size() for each in network.parameters()) >= _LARGE_BYTES


def _unchanged_mappings() -> Iterator[tuple[int, int]]:
    """Yield the addresses of files that are mapped without a page of its own."""
    try:
        lines = Path("/proc/self/smaps").read_text().splitlines()
    except OSError:  # a system may hide it
        return
    place = 0, 0
    for line in lines:
        if found := _MAPPING.match(line):
            place = (int(found[1], 16), int(found[2], 16)) if found[3] != "0" else (0, 0)
        elif line.startswith("Anonymous:") and line.split()[1] == "0" and place[1]:
            yield place
