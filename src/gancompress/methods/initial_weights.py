"""Initial weights of a student: those of its teacher where both networks are alike."""

from __future__ import annotations

from collections.abc import Iterable

from gancompress.errors import ConfigError, nearest
from gancompress.networks.generator import Generator


def with_shared_weights(student: Generator, teacher: Generator) -> Generator:
    """Return a student with the teacher's weights in all tensors that both have by name and shape."""
    shared = {
        name: tensor
        for name, tensor in teacher.state.items()
        if name in student.state and student.state[name].shape == tensor.shape
    }
    return student.with_state({**student.state, **shared})


def with_modules_of(teacher: Generator, student: Generator, paths: Iterable[str]) -> Generator:
    """Return a student with the weights of some of the teacher's modules.

    Raises:
        ConfigError: A module is missing, or its tensors have other shapes in the student.
    """
    state = dict(student.state)
    for path in paths:
        given = {name: tensor for name, tensor in teacher.state.items() if name.startswith(f"{path}.")}
        if not given:
            raise ConfigError(
                f"inherit: got '{path}', expected a module of the teacher; {nearest(path, _modules(teacher))}"
            )
        for name, tensor in given.items():
            if name not in state or state[name].shape != tensor.shape:
                raise ConfigError(
                    f"inherit: got '{path}', but {name} is not the same size in the student, expected a module that "
                    "both have alike; leave it out"
                )
        state |= given
    return student.with_state(state)


def _modules(generator: Generator) -> list[str]:
    """Return the paths of the modules that have weights."""
    names = (name.split(".") for name in generator.state)
    return list(dict.fromkeys(".".join(parts[:i]) for parts in names for i in range(1, len(parts))))
