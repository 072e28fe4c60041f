"""Choice of the operators that stay in float32 in a half-precision network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from gancompress.deploy.axes import Inputs
from gancompress.deploy.file_options import Run
from gancompress.deploy.half.emulation import OperatorError, emulated, operator_errors
from gancompress.deploy.half.mixed import Mixed, place_of

_FAR = (0.1, 0.03, 0.01, 0.003)
"""Relative errors above which an operator stays in float32, tried in this order; rounding to float16 is 0.0003."""


class TooFar(Exception):
    """A half-precision network that is far from the float one.

    Attributes:
        layer: The layer whose operator is the least exact in half precision, for messages; None if none is far.
        reason: The reason of the last refusal.
    """

    def __init__(self, layer: str | None, reason: str) -> None:
        """Set the attributes."""
        super().__init__(reason)
        self.layer, self.reason = layer, reason


def float_operators(
    network: nn.Module, inputs: Sequence[Inputs], refusal: Callable[[Run], str | None], *, mixes: bool = True
) -> Mixed:
    """Return the operators that must stay in float32 for a half-precision network to be close to the float one.

    None does if it is close without any. Otherwise those stay whose values leave the range of float16 or that lose
    precision by rounding alone, at first only the worst; neighbours between which such values pass stay with them.

    Args:
        network: The network in float32, in evaluation mode.
        inputs: A few real inputs, one image each.
        refusal: Function of a half-precision run that returns the reason that it is too far, or None.
        mixes: Whether operators can stay in float32.

    Raises:
        TooFar: The network is too far however many operators stay in float32.
    """
    reason = refusal(emulated(network, Mixed()))
    if reason is None:
        return Mixed()
    errors = operator_errors(network, inputs)
    tried = Mixed()
    for limit in _FAR if mixes else ():
        mixed = mixed_of(errors, limit)
        if mixed == tried:
            continue
        tried, reason = mixed, refusal(emulated(network, mixed))
        if reason is None:
            return mixed
    size, worst = max(((max(each.rounding_in, each.rounding_out), each.name) for each in errors), default=(0.0, ""))
    raise TooFar(place_of(worst) if size > _FAR[-1] else None, reason)


def mixed_of(errors: Sequence[OperatorError], limit: float) -> Mixed:
    """Return the operators whose error is above a limit, and those that exchange values with them in float32."""
    stored = {each.name for each in errors if each.rounding_out > limit}
    far = {each.name for each in errors if each.rounding_in > limit}
    precise = set[str]()
    for each in reversed(errors):  # what goes into it comes from precise values, back to the last product with weights
        if each.name in far or (each.name in precise and not each.multiplies):
            precise |= each.inputs
        if each.shares and each.name in stored | precise:
            stored |= each.inputs
    stored |= precise
    computed = far | {each.name for each in errors if each.name in stored or each.inputs & stored}
    computed -= {each.name for each in errors if each.shares}  # these have the type of what they share
    parameters = {name for each in errors if each.name in computed for name in each.parameters}
    return Mixed(frozenset(computed), frozenset(stored), frozenset(parameters))
