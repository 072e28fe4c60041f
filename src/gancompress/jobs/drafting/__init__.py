"""Drafting of a recipe from a checkpoint and a folder: what the network is, what the images are, and the method."""

from gancompress.jobs.drafting.draft import Drafted, draft_recipe
from gancompress.jobs.drafting.request import Request

__all__ = ["Drafted", "Request", "draft_recipe"]
