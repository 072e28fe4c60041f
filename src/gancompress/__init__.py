"""Compress GAN generators: many times smaller and faster, the same look, as a file that runs on your device.

Every method is a function on your own `torch.nn.Module` and your own batches::

    import gancompress as gc

    student = gc.prune(network, x, keep=0.5)
    result = gc.distill(student, network, loader, terms=[gc.losses.L1(100)], images=200_000, out="runs/mine")
    gc.export(result.module, x, "model.onnx")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gancompress import losses
    from gancompress.deploy import Loaded, load
    from gancompress.methods.budget import Budget
    from gancompress.methods.compare import Comparison, compare
    from gancompress.methods.compress import Compressed, compress
    from gancompress.methods.distill import Distilled, distill
    from gancompress.methods.evaluate import evaluate
    from gancompress.methods.export import export
    from gancompress.methods.fold_branches import fold_branches
    from gancompress.methods.freeze_norms import freeze_norms
    from gancompress.methods.prune import prune
    from gancompress.methods.quantize import quantize
    from gancompress.methods.recalibrate import recalibrate
    from gancompress.methods.refit import refit
    from gancompress.methods.save import load_into, save
    from gancompress.methods.save_like import save_like
    from gancompress.methods.search import Found, search
    from gancompress.methods.slim import Slimmed, slim
    from gancompress.methods.supernet import Supernet
    from gancompress.methods.trace import trace
    from gancompress.methods.verify import Verification, verify_search

_MODULE_OF = {
    "Budget": "methods.budget",
    "Comparison": "methods.compare",
    "Loaded": "deploy",
    "Supernet": "methods.supernet",
    "Compressed": "methods.compress",
    "Distilled": "methods.distill",
    "Found": "methods.search",
    "Slimmed": "methods.slim",
    "Verification": "methods.verify",
    "compare": "methods.compare",
    "compress": "methods.compress",
    "distill": "methods.distill",
    "evaluate": "methods.evaluate",
    "export": "methods.export",
    "fold_branches": "methods.fold_branches",
    "freeze_norms": "methods.freeze_norms",
    "load": "deploy",
    "load_into": "methods.save",
    "losses": "losses",
    "prune": "methods.prune",
    "quantize": "methods.quantize",
    "recalibrate": "methods.recalibrate",
    "refit": "methods.refit",
    "save": "methods.save",
    "save_like": "methods.save_like",
    "search": "methods.search",
    "slim": "methods.slim",
    "trace": "methods.trace",
    "verify_search": "methods.verify",
}
_PACKAGES = {"losses"}

__all__ = [  # noqa: RUF022 (in the order of a session)
    "trace",
    "fold_branches",
    "prune",
    "refit",
    "recalibrate",
    "freeze_norms",
    "distill",
    "Supernet",
    "search",
    "verify_search",
    "slim",
    "Budget",
    "quantize",
    "losses",
    "export",
    "load",
    "Loaded",
    "save",
    "save_like",
    "load_into",
    "evaluate",
    "compare",
    "compress",
    "Comparison",
    "Compressed",
    "Distilled",
    "Found",
    "Slimmed",
    "Verification",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: PyTorch takes seconds to load."""
    if name == "__version__":
        from importlib.metadata import version

        return version("gancompress")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gancompress' has no attribute '{name}'")
    module = importlib.import_module(f"gancompress.{_MODULE_OF[name]}")
    found = module if name in _PACKAGES else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
