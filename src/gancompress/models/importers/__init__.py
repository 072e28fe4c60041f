"""Reading generators and discriminators out of files, whichever program wrote them."""

from gancompress.models.importers.load import load_generator

__all__ = ["load_generator"]
