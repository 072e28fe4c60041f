"""Steps: what a compression job is made of. Each takes a generator and returns one."""

from gancompress.steps.prune import prune

__all__ = ["prune"]
