"""Refit: weights of a narrow network by least squares on the activations of the wide one, without gradients. Knows no
network family.
"""

from gancompress.refit.refit import LayerFit, RefitReport, refit

__all__ = ["LayerFit", "RefitReport", "refit"]
