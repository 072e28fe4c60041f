"""Choice of one network of a file of weights."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from gancompress.errors import CheckpointError
from gancompress.networks.checkpoint_file import Candidate
from gancompress.networks.generator import Generator
from gancompress.networks.importers.source import CLOSE, Source, Unrecognized


def first_that_fits(source: Source, read: Callable[[Candidate], Generator]) -> Generator:
    """Return the network of the highest rank that can be read; of those of one rank only one may be.

    Args:
        source: The source, whose listener is told what else the file holds.
        read: Reads a candidate; raises Unrecognized if it does not fit.

    Raises:
        Unrecognized: None can be read; the message is of the one that comes closest.
        CheckpointError: Several of one rank can be read.
    """
    file, role = source.file, source.role
    unfit: list[Unrecognized] = []
    for _, equals in groupby(file.candidates(role, source.key), key=lambda each: each.rank(role)):
        fitting: dict[str, tuple[Candidate, Generator]] = {}
        close = any(error.agreement > CLOSE for error in unfit)
        for candidate in equals:
            if candidate.key not in fitting and not (close and candidate.prefix):
                try:
                    fitting[candidate.key] = candidate, read(candidate)
                except Unrecognized as error:
                    unfit.append(error)
        if len(fitting) > 1:
            raise CheckpointError(
                f"{file.path}: got {len(fitting)} networks that fit ({', '.join(fitting)}), expected one; choose it by "
                f"{file.path.name}#{next(iter(fitting))}"
            )
        if fitting:
            candidate, generator = next(iter(fitting.values()))
            line = file.summary(candidate)
            if source.say is not None and line is not None:
                source.say(line)
            return generator
    raise max(unfit, key=lambda error: error.agreement)
