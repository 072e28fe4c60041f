"""Search space of a supernet and its search, as options."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from gancompress.architecture_search import SearchSpace, stages_of
from gancompress.channels import ChannelGraph
from gancompress.errors import ConfigError
from gancompress.importance import candidate_blocks
from gancompress.networks.generator import Generator
from gancompress.options import Options


class SpaceOptions(Options):
    """A search space: a set of the literature by name, or evenly spread widths and numbers of blocks.

    Attributes:
        config_set: Name of a set in `gancompress.architecture_search.CONFIG_SETS`; it excludes the other options.
        max_choices: Largest number of widths of each slot, and of numbers of blocks of each list.
        min_keep: Narrowest width as a fraction of the widest.
        min_depth: Smallest number of residual blocks of each list as a fraction of all; the last ones are left out.
        multiple: Widths are multiples of this, times the multiplier of their slot.
    """

    config_set: str | None = None
    max_choices: Annotated[int, Field(ge=2)] = 5
    min_keep: Annotated[float, Field(gt=0, le=1)] = 0.25
    min_depth: Annotated[float, Field(gt=0, le=1)] = 1.0
    multiple: Annotated[int, Field(ge=1)] = 8

    @model_validator(mode="after")
    def _set_says_all(self) -> SpaceOptions:
        others = sorted(self.model_fields_set - {"config_set"})
        if (
            self.config_set is not None
            and others
            and any(getattr(self, name) != type(self).model_fields[name].default for name in others)
        ):
            raise ValueError(f"{others[0]}: expected none with config_set, which sets all widths")
        return self

    def of(self, wide: Generator, graph: ChannelGraph) -> SearchSpace:
        """Return the search space of a network.

        Args:
            wide: The network at full width.
            graph: Its graph.

        Raises:
            ConfigError: The set does not exist, or does not fit the network or its ``loadable`` form.
            PlanError: The network has nothing to choose.
        """
        if graph.slots and self.config_set is not None:
            raise ConfigError(
                f"space: got config_set '{self.config_set}' with loadable: true, which ties all groups itself; "
                "expected one of the two"
            )
        tied = graph.slots or wide.architecture.search_slots()
        if self.config_set is not None:
            return SearchSpace.from_set(self.config_set, graph, tied)
        graph = graph.constrain(multiple=self.multiple, minimum=self.multiple, slots=tied)
        stages = stages_of(candidate_blocks(graph)) if self.min_depth < 1 else ()
        return SearchSpace.from_graph(graph, self.max_choices, self.min_keep, stages, self.min_depth)
