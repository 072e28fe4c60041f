"""Residual blocks left out of a network: modules that stand where theirs were.

A block is named by the path of its module, which returns its input plus something: ``body.3``. The branch of a sum in
the forward of a module (``x = x + self.attention(self.norm(x))``) is named by that module and those of the branch, in
the order of their calls: ``layers.2+norm+attention``, or ``+norm+attention`` in the network itself. Without it the last
one returns the number 0, and those before it their input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

BRANCH = "+"
"""Sign before each module of a branch, in its name."""


class LeftOut(nn.Module):
    """Residual block, or a module of a branch, that was left out: returns its input."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return the first argument."""
        return x


class LeftOutBranch(nn.Module):
    """Last module of a branch that was left out: adds nothing.

    A number, which costs no operation and takes no memory, and which a file holds no tensor for.
    """

    def __init__(self, before: Sequence[LeftOut], levels: int) -> None:
        """Note what the name of the branch holds.

        Args:
            before: The other modules of the branch, in the order of their calls.
            levels: Number of names from the module that adds the branch to this one.
        """
        super().__init__()
        self.before, self.levels = tuple(before), levels

    def forward(self, *_: Any, **__: Any) -> float:
        """Return 0."""
        return 0.0


def is_branch(block: str) -> bool:
    """Return whether a block of this name is the branch of a sum."""
    return BRANCH in block


def branch_name(owner: str, paths: Sequence[str]) -> str:
    """Return the name of the branch of a sum.

    Args:
        owner: Path of the module that adds it, which all modules of the branch lie in.
        paths: Paths of its modules.
    """
    below = len(owner) + 1 if owner else 0
    return "".join((owner, *(f"{BRANCH}{path[below:]}" for path in paths)))


def owner_of(block: str) -> str:
    """Return the path of the module that adds a branch, or of a block of another kind itself."""
    return block.partition(BRANCH)[0]


def modules_of(block: str) -> tuple[str, ...]:
    """Return the paths of the modules of a block, by its name."""
    owner, *paths = block.split(BRANCH)
    return tuple(f"{owner}.{path}" if owner else path for path in paths) or (owner,)


def lies_in(path: str, block: str) -> bool:
    """Return whether a module, a tensor or another block is a block or lies in it.

    Args:
        path: Path of the module or tensor, or name of the block.
        block: Name of the block.
    """
    around = modules_of(block)
    return all(any(own == each or own.startswith(f"{each}.") for each in around) for own in modules_of(path))


def with_parents(path: str) -> Iterator[str]:
    """Yield the path of a module or tensor, and those of all modules that it lies in, the network aside."""
    parts = path.split(".")
    return (".".join(parts[:number]) for number in range(1, len(parts) + 1))


def outermost(blocks: Iterable[str]) -> frozenset[str]:
    """Return the blocks that lie in no other one of them; of a module and the branch of it alone, the branch."""
    every = frozenset(blocks)
    if not every:
        return every

    holders: dict[str, set[str]] = {}
    for block in every:
        for path in modules_of(block):
            holders.setdefault(path, set()).add(block)

    def is_outer(block: str) -> bool:
        near = {holder for path in modules_of(block) for each in with_parents(path) for holder in holders.get(each, ())}
        return not any(lies_in(block, holder) and _is_wider(holder, block) for holder in near - {block})

    return frozenset(block for block in every if is_outer(block))


def _is_wider(block: str, other: str) -> bool:
    """Return whether a block stays of two of which the other lies in it."""
    return not lies_in(block, other) or is_branch(block)


def leave_out(module: nn.Module, blocks: Iterable[str]) -> nn.Module:
    """Replace blocks of a module, in place, by modules that return their input or 0, and return the module.

    Raises:
        AttributeError: The module has no such submodule.
    """
    for block in blocks:
        paths = modules_of(block)
        replaced = [module.get_submodule(path) for path in paths]
        *before, last = [LeftOut() for _ in paths]
        if is_branch(block):
            last = LeftOutBranch(before, levels=block.rpartition(BRANCH)[2].count(".") + 1)
        for before_it, instead in zip(replaced, (*before, last), strict=True):
            instead.train(before_it.training)
        _put(module, dict(zip(paths, (*before, last), strict=True)))
    return module


def _put(module: nn.Module, submodules: dict[str, nn.Module]) -> None:
    for path, submodule in submodules.items():
        parent, _, leaf = path.rpartition(".")
        module.get_submodule(parent)._modules[leaf] = submodule


@contextmanager
def without_blocks(module: nn.Module, blocks: Iterable[str]) -> Iterator[None]:
    """Run a module without some of its blocks, for a while."""
    blocks = tuple(blocks)
    before = {path: module.get_submodule(path) for block in blocks for path in modules_of(block)}
    leave_out(module, blocks)
    try:
        yield
    finally:
        _put(module, before)


def left_out_of(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the blocks that were left out of a module."""
    paths = {submodule: path for path, submodule in module.named_modules()}
    within = {each for submodule in paths if isinstance(submodule, LeftOutBranch) for each in submodule.before}
    names: list[str] = []
    for submodule, path in paths.items():
        if isinstance(submodule, LeftOutBranch):
            owner = path.rsplit(".", submodule.levels)[0] if path.count(".") >= submodule.levels else ""
            names.append(branch_name(owner, [*(paths[each] for each in submodule.before), path]))
        elif isinstance(submodule, LeftOut) and submodule not in within:
            names.append(path)
    return tuple(names)
