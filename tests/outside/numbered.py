"""An importer: one number in a text file, which every weight of a `resnet` takes."""

from gancompress.networks.generator import Generator
from gancompress.networks.importers.registry import Importer, register_importer
from gancompress.networks.importers.source import Source


class Numbered(Importer):
    """Reader of ``.numbers`` files: every weight of a small network is the number in the file."""

    def accepts(self, source: Source) -> bool:
        return source.path.suffix == ".numbers"

    def load(self, source: Source) -> Generator:
        from gancompress.networks.registry import build

        config = {"ngf": 1, "num_blocks": 1}
        network = build("resnet", config)
        for parameter in network.parameters():
            parameter.data.fill_(float(source.path.read_text()))
        return Generator.from_module(network, "resnet", config)


NUMBERED = register_importer("numbered")(Numbered())
