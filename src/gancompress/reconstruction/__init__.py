"""Refit: least-squares weights for a narrow network from the wide one's activations, without gradients."""

from gancompress.reconstruction.refit import LayerFit, RefitReport, images_needed, refit

__all__ = ["LayerFit", "RefitReport", "images_needed", "refit"]
