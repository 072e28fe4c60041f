"""Objectives: the losses of a student, and the phases in which a step updates networks."""
