"""Import of generators and discriminators from sources of any known program."""

from gancompress.networks.importers.load import files_of, load_generator
from gancompress.networks.importers.registry import IMPORTERS, Importer, register_importer
from gancompress.networks.importers.source import Source, Unrecognized

__all__ = ["IMPORTERS", "Importer", "Source", "Unrecognized", "files_of", "load_generator", "register_importer"]
