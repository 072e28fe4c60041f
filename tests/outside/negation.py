"""The rule of an operation of one's own: its output has the channels of its input."""

from gancompress.channels.rules.elementwise import elementwise
from gancompress.channels.rules.registry import rule


@rule("outside.negation")
def negation(g, op):
    return elementwise(g, op)
