"""Compress GAN generators: many times smaller and faster, the same look, as a file that runs on your device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gancompress.export import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for: PyTorch takes seconds to load."""
    if name == "load":
        from gancompress.export import load

        return load
    raise AttributeError(f"module 'gancompress' has no attribute '{name}'")
