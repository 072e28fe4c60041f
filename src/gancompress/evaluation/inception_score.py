"""Inception Score: rewards confident classes for each image, and many different classes over all images.

It needs no real images and does not measure how real the images look: it depends only on the classifier.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError, MetricError
from gancompress.evaluation.images import RESIZE_WORDS, Size, resize
from gancompress.evaluation.network_spec import INCEPTION, INCEPTION_SIZE, NetworkSpec, checked_spec
from gancompress.networks.checkpoint_file import CheckpointFile
from gancompress.perception.load import load_inception
from gancompress.perception.weights import WEIGHTS, fetch_weights

NUM_SPLITS = 10


@dataclass(frozen=True)
class Classifier:
    """A classifier with its preprocessing of images.

    Attributes:
        name: Name in the score over it (``is_<name>``).
        network: Images [b, 3, h, w], RGB in [0, 1], to logits [b, classes], or to several outputs, the logits last.
        size: Height and width of its input; None leaves images at their size.
        resizing: A name in `RESIZES`.
        device: Device of the network.
    """

    name: str
    network: nn.Module
    size: Size | None = None
    resizing: str = "clean"
    device: torch.device | str = "cpu"

    @property
    def protocol(self) -> str:
        """Description of the protocol."""
        size = "images as they are" if self.size is None else f"{self.size[1]}x{self.size[0]} (width x height)"
        return f"{self.name} classes, {size}, {RESIZE_WORDS[self.resizing]}"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the probabilities [b, classes], float64, of images [b, 3, h, w], RGB in [-1, 1] or uint8.

        Raises:
            MetricError: The images or the network's output have a wrong shape or kind.
        """
        outputs = self.network(resize(images.to(self.device), self.size, self.resizing))
        logits = outputs if isinstance(outputs, Tensor) else outputs[-1]
        if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
            raise MetricError(
                f"{self.name}: got an output of shape {tuple(logits.shape)} for {len(images)} images, expected logits "
                "[b, classes]; give a classifier, whose last output is its logits"
            )
        if not logits.isfinite().all():
            raise MetricError(
                f"{self.name}: got logits that are not finite, expected numbers; look at the generated images: a "
                "network that diverged gives such"
            )
        return logits.double().softmax(1).cpu()


@dataclass
class ClassScores:
    """Sums over the images of each split, from which the score is computed without keeping their probabilities.

    Images go to the splits in turn, so that each split is like the whole set, independent of the order of images.
    """

    _counts: Tensor = field(default_factory=lambda: torch.zeros(NUM_SPLITS, dtype=torch.float64))
    _entropies: Tensor = field(default_factory=lambda: torch.zeros(NUM_SPLITS, dtype=torch.float64))
    _probabilities: Tensor | None = None

    @property
    def count(self) -> int:
        """Number of images."""
        return int(self._counts.sum())

    def add(self, probabilities: Tensor) -> None:
        """Add a batch of probabilities [b, classes]. Raises MetricError if their number differs from before."""
        splits = (torch.arange(len(probabilities)) + self.count) % NUM_SPLITS

        def by_split(values: Tensor) -> Tensor:
            return values.new_zeros(NUM_SPLITS, *values.shape[1:]).index_add_(0, splits, values)

        ones = torch.ones(len(probabilities), dtype=torch.float64)
        probabilities = probabilities.double()
        entropies = torch.special.entr(probabilities).sum(1)
        self.merge(ClassScores(by_split(ones), by_split(entropies), by_split(probabilities)))

    def merge(self, other: ClassScores) -> None:
        """Add all images of another process. Raises MetricError as `add`."""
        if other._probabilities is None:
            return
        mine = torch.zeros_like(other._probabilities) if self._probabilities is None else self._probabilities
        if mine.shape != other._probabilities.shape:
            raise MetricError(
                f"inception score: got {other._probabilities.shape[1]} classes after {mine.shape[1]}, expected as "
                "many; take both from one classifier"
            )
        self._counts = self._counts + other._counts
        self._entropies = self._entropies + other._entropies
        self._probabilities = mine + other._probabilities

    def inception_score(self) -> tuple[float, tuple[float, float] | None]:
        """Return the mean over the splits of ``exp(mean KL(p(y | x) || p(y)))``, without an interval.

        It lies between 1 and the number of classes.

        Raises:
            MetricError: There are fewer images than splits.

        Source: Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016, section 4.
        """
        if self._probabilities is None or (self._counts == 0).any():
            raise MetricError(
                f"inception score: got {self.count} images, expected at least {NUM_SPLITS}, one for each split, and "
                "thousands for a number that means something; give more images"
            )
        marginal = torch.special.entr(self._probabilities / self._counts[:, None]).sum(1)
        scores = (marginal - self._entropies / self._counts).exp()
        return float(scores.mean()), None


@dataclass
class ClassComparison:
    """Class scores of images through one classifier."""

    network: Classifier
    scores: ClassScores = field(default_factory=ClassScores)

    def add(self, images: Tensor) -> None:
        """Add a batch of images [b, 3, h, w]. Raises MetricError as `Classifier`."""
        self.scores.add(self.network(images))


class InceptionLogits(nn.Module):
    """Inception network of FID with its classifier, without the bias, as the score is defined."""

    weight: Tensor

    def __init__(self, features: nn.Module, weight: Tensor) -> None:
        """Set the network of the features [b, 2048] and the classifier's weight [classes, 2048]."""
        super().__init__()
        self.features = features
        self.register_buffer("weight", weight)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [b, 3, 299, 299], RGB in [0, 1], to logits [b, classes]."""
        return self.features(images) @ self.weight.T


def load_classifier(
    name: str, spec: NetworkSpec | None = None, resizing: str = "clean", device: torch.device | str = "cpu"
) -> Classifier:
    """Load a classifier from its file.

    Args:
        name: Its name; ``inception`` is the network of the Inception Score, with a fixed size.
        spec: Its file, and height and width of its input; for ``inception`` its published weights, by default from the
            cache or their authors.
        resizing: A name in `RESIZES`.
        device: Device of the network.

    Raises:
        CheckpointError: The file cannot be found or read, or does not fit.
        MetricError: There is no file, or no such resizing.
    """
    spec = checked_spec(name, spec, resizing)
    if spec is not None and name != INCEPTION:
        return Classifier(name, spec.load(device), spec.size, resizing, device)
    file = fetch_weights(WEIGHTS[INCEPTION]) if spec is None else spec.file
    weight = CheckpointFile.open(file).state_dict().get("fc.weight")
    if weight is None or weight.ndim != 2:
        raise CheckpointError(
            f"{file}: found no 'fc.weight', expected the classifier in the published weights of the Inception "
            "network; give the file as it was published"
        )
    network = InceptionLogits(load_inception(file), weight).to(device)
    return Classifier(name, network, INCEPTION_SIZE, resizing, device)
