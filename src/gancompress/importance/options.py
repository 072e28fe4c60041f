"""The registry of scores with options: those that run the generator. `gancompress.importance.SCORES` are the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny, SerializerFunctionWrapHandler, model_serializer

from gancompress.channels import ChannelGraph
from gancompress.errors import ConfigError, nearest
from gancompress.importance.comparison import (
    activation_map,
    direction_sensitivity,
    l1_outgoing_effective,
    random_scores,
)
from gancompress.importance.content_aware import content_aware
from gancompress.importance.probe import Probe
from gancompress.importance.scores import SCORES, Score, Scores
from gancompress.models.content_masks import AnyMask, NoMask
from gancompress.options import Options, OptionsError

Count = Annotated[int, Field(ge=1)]


class ScoreOptions(Options, ABC):
    """A score that runs the generator."""

    kind: ClassVar[str]

    @model_serializer(mode="wrap")
    def _with_kind(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"kind": self.kind, **fields(self)}

    @abstractmethod
    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """The importance of every channel.

        Raises:
            GanCompressError: In one of its kinds, where the score does not fit.
        """


class RandomScore(ScoreOptions):
    """Chance."""

    kind = "random"

    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """See `random_scores`."""
        return random_scores(graph, probe.seed)


class _Drawing(ScoreOptions):
    """Images to draw, and how many at a time."""

    num_images: Count = 400
    batch_size: Count = 10


class ActivationMap(_Drawing):
    """How strong a channel is."""

    kind = "activation_map"

    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """See `activation_map`."""
        return activation_map(probe, graph, num_images=self.num_images, batch_size=self.batch_size)


class OutgoingEffective(_Drawing):
    """Norms of filters as styles change them.

    Attributes:
        image_layers: Whether layers that draw into the image count beside the others.
    """

    kind = "l1_outgoing_effective"

    image_layers: bool = False

    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """See `l1_outgoing_effective`."""
        how = {"num_images": self.num_images, "batch_size": self.batch_size, "image_layers": self.image_layers}
        return l1_outgoing_effective(probe, graph, **how)


class ContentAware(_Drawing):
    """What a channel does for the content.

    Attributes:
        mask: Where the content is.
        noise: Share of the content's pixels that become salt or pepper.
        image_layers: Whether layers that draw into the image count beside the others.
    """

    kind = "content_aware"

    mask: AnyMask = NoMask()
    noise: Annotated[float, Field(gt=0, le=1)] = 0.05
    image_layers: bool = False

    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """See `content_aware`."""
        how = {"num_images": self.num_images, "batch_size": self.batch_size, "image_layers": self.image_layers}
        return content_aware(probe, graph, self.mask.load(), noise=self.noise, **how)


class DirectionSensitivity(_Drawing):
    """What a channel does when the latent moves.

    Attributes:
        num_directions: Directions for every latent.
        strength: How far it moves.
        image_layers: Whether layers that draw into the image count beside the others.
    """

    kind = "direction_sensitivity"

    num_images: Count = 1000
    num_directions: Count = 10
    strength: Annotated[float, Field(gt=0)] = 5.0
    image_layers: bool = False

    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """See `direction_sensitivity`."""
        how = {"num_images": self.num_images, "batch_size": self.batch_size, "image_layers": self.image_layers}
        return direction_sensitivity(probe, graph, num_directions=self.num_directions, strength=self.strength, **how)


RUNNING_SCORES: dict[str, type[ScoreOptions]] = {
    options.kind: options
    for options in (RandomScore, ActivationMap, OutgoingEffective, ContentAware, DirectionSensitivity)
}


def parse_score(score: Any) -> Any:
    """A score as a recipe writes it: a name, or a mapping of ``kind`` and options.

    Raises:
        ConfigError: There is no such score, or it has no such options.
    """
    if isinstance(score, ScoreOptions) or not isinstance(score, str | Mapping):
        return score
    given = dict(score) if isinstance(score, Mapping) else {"kind": score}
    kind = given.pop("kind", None)
    if kind in RUNNING_SCORES:
        return RUNNING_SCORES[kind](**given)
    known = [*SCORES, *RUNNING_SCORES]
    if not isinstance(kind, str) or kind not in SCORES:
        raise OptionsError([("", f"got {kind!r}, expected a known score; {nearest(str(kind), known)}")])
    if given:
        raise OptionsError([("", f"got options for '{kind}', which has none; write its name alone")])
    return kind


AnyScore = Annotated[str | SerializeAsAny[ScoreOptions], BeforeValidator(parse_score)]
"""A score in options."""


def find_score(score: str | ScoreOptions, probe: Probe | None = None) -> Score:
    """The score of this name, or with these options.

    Args:
        score: What `parse_score` takes or gives.
        probe: The generator at work, for scores that run it.

    Raises:
        ConfigError: There is none, the message then ends with the nearest name; or it runs the generator and no probe
            was given.
    """
    try:
        parsed = parse_score(score)
    except OptionsError as error:
        raise ConfigError(f"score: {error}") from None
    if isinstance(parsed, str):
        return SCORES[parsed]
    if probe is None:
        raise ConfigError(
            f"score: got '{parsed.kind}', which runs the generator, expected images to run it on; on the "
            "command line give --images FOLDER"
        )
    return lambda state, graph: parsed.score(probe, graph)
