"""A package of somebody else, which adds a family."""
