"""Import of generators and discriminators from sources of any known program."""

from gancompress.networks.importers.load import load_generator
from gancompress.networks.importers.registry import IMPORTERS, Importer, register_importer
from gancompress.networks.importers.source import Source, Unrecognized

__all__ = ["IMPORTERS", "Importer", "Source", "Unrecognized", "load_generator", "register_importer"]
