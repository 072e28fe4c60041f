"""Students: one network, or all networks of a supernet at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gancompress.architecture_search import SearchSpace
from gancompress.channels import ChannelGraph, ChannelPlan, SubNetwork, left_out_of
from gancompress.errors import ConfigError, nearest
from gancompress.objectives.taps import Side, path_in

Network = Callable[..., Tensor]
"""Maps inputs of a generator to images; tensors shared with its teacher, such as noise maps, are keyword arguments."""


@dataclass(frozen=True)
class Running:
    """A network ready to run.

    Attributes:
        network: The network.
        structure: The module tree whose submodules run, for hooks.
        side: The network's part in distillation, which says how taps name its modules.
    """

    network: Network
    structure: nn.Module
    side: Side = "student"


class Student(ABC):
    """Source of the networks that a step trains.

    Attributes:
        module: Holds the weights that are trained.
        elastic: Whether its networks differ in width or depth.
        in_place: Whether the networks of a step reconstruct the image of the first of them.
        left_out: Residual blocks that some of its networks leave out.
    """

    module: nn.Module
    elastic: bool = False
    in_place: bool = False
    left_out: frozenset[str] = frozenset()

    @abstractmethod
    def draw(self, num_images: int) -> tuple[Running, ...]:
        """Return the networks to train on the next batch, after this many images."""

    @abstractmethod
    def shown(self, module: nn.Module) -> dict[str, Network]:
        """Return the networks whose images a preview shows, by name, with the weights of the given module."""


class FixedStudent(Student):
    """A student that is one network of fixed width."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.left_out = module, frozenset(left_out_of(module))

    def draw(self, num_images: int) -> tuple[Running]:
        """Return the network itself."""
        return (Running(self.module, self.module),)

    def shown(self, module: nn.Module) -> dict[str, Network]:
        """Return the network itself."""
        return {"student": module}


Sampling = Literal["random", "sandwich"]
"""Plans of one step: one at random, or the widest, the narrowest and some at random."""


class SupernetStudent(Student):
    """A wide network that shares its weights with every plan of a space; each step trains one or a few plans.

    Source: Li et al., GAN Compression, CVPR 2020, section 3.3 (one random plan); Yu and Huang, Universally Slimmable
    Networks, ICCV 2019 (the sandwich rule, in-place distillation).
    """

    elastic = True

    def __init__(
        self,
        module: nn.Module,
        graph: ChannelGraph,
        space: SearchSpace,
        seed: int,
        sampling: Sampling = "random",
        num_random: int = 2,
        in_place: bool = False,
    ) -> None:
        """Share the weights of a wide network.

        Args:
            module: The wide network.
            graph: Its graph.
            space: The plans.
            seed: Seed of the plans, together with the number of images; all processes draw the same.
            sampling: Plans of one step.
            num_random: Random plans of a sandwich step.
            in_place: Whether the other networks of a sandwich step reconstruct the image of the widest.
        """
        self.module, self.in_place = module, in_place
        self._graph, self._space, self._seed = graph, space, seed
        self._sampling, self._num_random = sampling, num_random
        self.left_out = space.plan(space.smallest).left_out

    def draw(self, num_images: int) -> tuple[Running, ...]:
        """Return the wide network at the plans of this step."""
        return tuple(self._at(self.module, plan) for plan in self.plans(num_images))

    def plans(self, num_images: int) -> tuple[ChannelPlan, ...]:
        """Return the plans of the step after this many images; in a sandwich step the widest comes first."""
        space, rng = self._space, torch.Generator().manual_seed(self._seed * 1_000_003 + num_images)
        if self._sampling == "random":
            return (space.plan(space.sample(rng)),)
        values = (space.largest, space.smallest, *(space.sample(rng) for _ in range(self._num_random)))
        return tuple(space.plan(each) for each in values)

    def shown(self, module: nn.Module) -> dict[str, Network]:
        """Return the widest and the narrowest network."""
        values = {"widest": self._space.largest, "narrowest": self._space.smallest}
        return {name: self._at(module, self._space.plan(each)).network for name, each in values.items()}

    def _at(self, module: nn.Module, plan: ChannelPlan) -> Running:
        network = SubNetwork(module, self._graph, plan)
        return Running(network, network.structure)


@contextmanager
def tapped(structure: nn.Module, taps: Sequence[str], side: Side = "student") -> Iterator[Mapping[str, Tensor]]:
    """Collect the outputs of submodules by tap while the teacher or the student runs.

    Raises:
        ConfigError: A path names no submodule; the message ends with the nearest one.
    """
    known = dict(structure.named_modules())
    collected: dict[str, Tensor] = {}
    handles = []
    for tap in taps:
        path = path_in(side, tap)
        if path not in known:
            raise ConfigError(f"taps: got '{path}', expected a module of the {side}; {nearest(path, known)}")

        def keep(_: nn.Module, __: tuple, output: Tensor, tap: str = tap) -> None:
            collected[tap] = output

        handles.append(known[path].register_forward_hook(keep))
    try:
        yield collected
    finally:
        for handle in handles:
            handle.remove()
