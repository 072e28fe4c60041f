"""Importer of directories that `Generator.save` wrote."""

from __future__ import annotations

from dataclasses import replace

from gancompress.errors import CheckpointError, ConfigError
from gancompress.networks.generator import Generator
from gancompress.networks.importers.registry import Importer, register_importer
from gancompress.networks.importers.source import Source


class SavedDirectory(Importer):
    """Directory with a network of this package."""

    def accepts(self, source: Source) -> bool:
        """Return whether the source is a directory."""
        return source.path.is_dir()

    def load(self, source: Source) -> Generator:
        """Load the network, unchanged."""
        if source.key is not None:
            raise CheckpointError(
                f"{source.path}#{source.key}: got a key for a directory, which holds one network; leave "
                f"'#{source.key}' out"
            )
        named = () if source.known is None else (source.known.name,)
        trust = source.trust if source.trust is True else (*(source.trust or ()), *named)
        generator = Generator.load(source.path, trust=trust)
        same_config = {**generator.config, **(source.config or {})} == generator.config
        if not same_config or (source.known is not None and source.known.name != generator.family):
            raise ConfigError(
                f"{source.path}: got a family or config for a directory that has its own "
                f"({generator.family}), expected none; leave them out"
            )
        return replace(generator, architecture=generator.architecture.with_images(source.images))


register_importer("saved")(SavedDirectory())
