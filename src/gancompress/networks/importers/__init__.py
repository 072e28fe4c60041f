"""Import of generators and discriminators from weight files of any known program."""

from gancompress.networks.importers.load import load_generator

__all__ = ["load_generator"]
