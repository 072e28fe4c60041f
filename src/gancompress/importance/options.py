"""Registry of scores, and options of the scores that run the generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, cast

from pydantic import BeforeValidator, Field, SerializeAsAny, SerializerFunctionWrapHandler, WrapSerializer

from gancompress.channels import ChannelGraph
from gancompress.errors import ConfigError
from gancompress.importance.comparison import (
    activation_map,
    direction_sensitivity,
    l1_outgoing_effective,
    random_scores,
)
from gancompress.importance.content_aware import content_aware
from gancompress.importance.probe import Probe
from gancompress.importance.scores import Score, Scores, l1_first_producer, l1_incoming, l1_outgoing, norm_scale
from gancompress.options import OptionsError
from gancompress.perception.content_masks import AnyMask, NoMask
from gancompress.registry import Kind, KindRegistry, path_of

S = TypeVar("S")

Count = Annotated[int, Field(ge=1)]


class ScoreOptions(Kind, ABC):
    """A score that runs the generator."""

    @abstractmethod
    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """Return the importance of every channel.

        Raises:
            GanCompressError: The score does not fit the generator; see the kinds.
        """


class ScoreRegistry(KindRegistry[ScoreOptions]):
    """Scores by name: functions of weights and graph, and classes of options of those that run the generator."""

    def add_function(self, score: Score) -> Score:
        """Add a function of weights and graph under its own name; a decorator."""
        self._add(score.__name__, cast(Any, score))  # type: ignore[attr-defined]
        return score

    def parse(self, value: Any) -> Any:
        """Return a score from a recipe or a caller: options, or the name, path or function of a score of weights.

        Raises:
            ConfigError: There is no such score, or it has no such options.
        """
        if isinstance(value, ScoreOptions) or (callable(value) and not isinstance(value, type)):
            return value
        given = dict(value) if isinstance(value, Mapping) else {"kind": value}
        kind = given.pop("kind", None)
        found = self.find(kind)
        if isinstance(found, type):
            return found(**given)
        if given:
            raise OptionsError([("", f"got options for '{kind}', which has none; write its name alone")])
        return kind

    def _is_function(self, value: Any) -> bool:
        return callable(value) and not isinstance(value, type)


SCORES = ScoreRegistry("scores", ScoreOptions, "a known score")
"""Every score by its name."""

for _score in (l1_incoming, l1_first_producer, l1_outgoing, norm_scale):
    SCORES.add_function(_score)


def register_score(score: S) -> S:
    """Add a function of weights and graph under its name, or a subclass of `ScoreOptions` under its ``kind``."""
    return SCORES.add(score) if isinstance(score, type) else cast(S, SCORES.add_function(cast(Score, score)))


def _written(value: Any, fields: SerializerFunctionWrapHandler) -> Any:
    return fields(value) if isinstance(value, ScoreOptions) else path_of(value)


AnyScore = Annotated[
    str | Callable[..., Any] | SerializeAsAny[ScoreOptions], BeforeValidator(SCORES.parse), WrapSerializer(_written)
]
"""A score in options."""


@register_score
class RandomScore(ScoreOptions):
    """Random score, as a baseline."""

    kind = "random"

    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """Score channels with `random_scores`."""
        return random_scores(graph, probe.seed)


class _Drawing(ScoreOptions):
    """Base of scores that run the generator on a number of images.

    Attributes:
        num_images: Number of images.
        batch_size: Number of images in each batch.
    """

    num_images: Count = 400
    batch_size: Count = 10


@register_score
class ActivationMap(_Drawing):
    """Mean absolute activation of a channel."""

    kind = "activation_map"

    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """Score channels with `activation_map`."""
        return activation_map(probe, graph, num_images=self.num_images, batch_size=self.batch_size)


@register_score
class OutgoingEffective(_Drawing):
    """L1 norm of the filters that read a channel, after modulation and demodulation by styles.

    Attributes:
        image_layers: Whether layers that write the image count beside the others.
    """

    kind = "l1_outgoing_effective"

    image_layers: bool = False

    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """Score channels with `l1_outgoing_effective`."""
        how = {"num_images": self.num_images, "batch_size": self.batch_size, "image_layers": self.image_layers}
        return l1_outgoing_effective(probe, graph, **how)


@register_score
class ContentAware(_Drawing):
    """Effect of a channel on the content of the image.

    Attributes:
        mask: Mask of the content.
        noise: Share of the content's pixels that become salt or pepper.
        image_layers: Whether layers that write the image count beside the others.
    """

    kind = "content_aware"

    mask: AnyMask = NoMask()
    noise: Annotated[float, Field(gt=0, le=1)] = 0.05
    image_layers: bool = False

    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """Score channels with `content_aware`."""
        how = {"num_images": self.num_images, "batch_size": self.batch_size, "image_layers": self.image_layers}
        return content_aware(probe, graph, self.mask.load(), noise=self.noise, **how)


@register_score
class DirectionSensitivity(_Drawing):
    """Sensitivity of a channel to directions of the latent.

    Attributes:
        num_directions: Random directions for every latent.
        strength: Length of the step along a direction.
        image_layers: Whether layers that write the image count beside the others.
    """

    kind = "direction_sensitivity"

    num_images: Count = 1000
    num_directions: Count = 10
    strength: Annotated[float, Field(gt=0)] = 5.0
    image_layers: bool = False

    def score(self, probe: Probe, graph: ChannelGraph) -> Scores:
        """Score channels with `direction_sensitivity`."""
        how = {"num_images": self.num_images, "batch_size": self.batch_size, "image_layers": self.image_layers}
        return direction_sensitivity(probe, graph, num_directions=self.num_directions, strength=self.strength, **how)


def find_score(score: str | Mapping[str, Any] | Score | ScoreOptions, probe: Probe | None = None) -> Score:
    """Return a score function.

    Args:
        score: Its name, options, or a function of weights and graph.
        probe: The generator and its inputs, for scores that run it.

    Raises:
        ConfigError: There is no such score, and the message ends with the nearest name; or the score runs the generator
            and no probe was given.
    """
    try:
        parsed = SCORES.parse(score)
    except OptionsError as error:
        raise ConfigError(f"score: {error}") from None
    if not isinstance(parsed, ScoreOptions):
        return cast(Score, SCORES.find(parsed) if isinstance(parsed, str) else parsed)
    if probe is None:
        raise ConfigError(
            f"score: got '{parsed.kind}', which runs the generator, expected images to run it on; on the "
            "command line give --images FOLDER"
        )
    return lambda state, graph: parsed.score(probe, graph)
