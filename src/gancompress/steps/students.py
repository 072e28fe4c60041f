"""What is being trained when a student learns: one network, or all networks of a supernet at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan, SubNetwork
from gancompress.errors import ConfigError, nearest

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Running:
    """A network ready to run.

    Attributes:
        network: From images to images.
        structure: The module tree whose submodules run, for hooks.
    """

    network: Network
    structure: nn.Module


class Student(ABC):
    """Where the networks to train come from.

    Attributes:
        module: Holds the weights that are trained.
    """

    module: nn.Module

    @abstractmethod
    def draw(self, num_images: int) -> Running:
        """The network to train on the next batch, after this many images."""

    @abstractmethod
    def shown(self, module: nn.Module) -> dict[str, Network]:
        """The networks whose images are worth looking at, by name, with the weights of the given module."""


class FixedStudent(Student):
    """One network."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def draw(self, num_images: int) -> Running:
        """The network itself."""
        return Running(self.module, self.module)

    def shown(self, module: nn.Module) -> dict[str, Network]:
        """The network itself."""
        return {"student": module}


class SupernetStudent(Student):
    """A wide network of which every plan is trained, one random plan for each batch.

    Source: Li et al., GAN Compression, CVPR 2020, section 3.3.
    """

    def __init__(
        self, module: nn.Module, graph: ChannelGraph, sample: Callable[[torch.Generator], ChannelPlan], seed: int
    ) -> None:
        """Share the weights of a wide network.

        Args:
            module: The wide network.
            graph: Its graph.
            sample: Draws a plan.
            seed: With the number of images it decides which plan is drawn; all processes draw the same.
        """
        self.module = module
        self._graph, self._sample, self._seed = graph, sample, seed

    def draw(self, num_images: int) -> Running:
        """The wide weights at a random plan."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + num_images)
        return self._at(self.module, self._sample(generator))

    def shown(self, module: nn.Module) -> dict[str, Network]:
        """The widest and the narrowest."""
        plans = {"widest": self._graph.full_plan(), "narrowest": self._graph.smallest_plan()}
        return {name: self._at(module, plan).network for name, plan in plans.items()}

    def _at(self, module: nn.Module, plan: ChannelPlan) -> Running:
        network = SubNetwork(module, self._graph, plan)
        return Running(network, network.structure)


@contextmanager
def tapped(structure: nn.Module, paths: Sequence[str]) -> Iterator[Mapping[str, Tensor]]:
    """Collect what submodules return while the network runs, by path.

    Raises:
        ConfigError: A path names no submodule; the message ends with the nearest one.
    """
    known = dict(structure.named_modules())
    collected: dict[str, Tensor] = {}
    handles = []
    for path in paths:
        if path not in known:
            raise ConfigError(f"taps: got '{path}', expected a module of the network; {nearest(path, known)}")

        def keep(_: nn.Module, __: tuple, output: Tensor, path: str = path) -> None:
            collected[path] = output

        handles.append(known[path].register_forward_hook(keep))
    try:
        yield collected
    finally:
        for handle in handles:
            handle.remove()
