"""Refit: least-squares weights for a narrow network from the wide one's activations, without gradients."""

from gancompress.reconstruction.refit import LayerFit, RefitReport, refit

__all__ = ["LayerFit", "RefitReport", "refit"]
