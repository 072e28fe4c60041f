"""Evaluation of several metrics in one pass over the images, in which each network runs once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gancompress.errors import MetricError, nearest
from gancompress.evaluation.comparisons import LabelComparison, PairComparison, SetComparison
from gancompress.evaluation.features import ContentMask, FeatureNetwork, FeatureSet, load_feature_network
from gancompress.evaluation.inception_score import ClassComparison, ClassScores, load_classifier
from gancompress.evaluation.kinds import (
    ClassMetric,
    LabelMetric,
    LatentMetric,
    Metric,
    NetworkSpec,
    PairMetric,
    SetMetric,
)
from gancompress.evaluation.protocols import SEGMENTATION_PROTOCOLS
from gancompress.evaluation.registry import find_metric
from gancompress.evaluation.result import MetricResult
from gancompress.evaluation.segmentation import LabelScores, SegmentationNetwork
from gancompress.evaluation.statistics import Gaussian


class Evaluator:
    """Metrics by name, over images that come in batches.

    Distances to real images and to a teacher's images are the same metrics with another reference: use one evaluator
    for each. In a search, `reset` discards the generated images and keeps the reference with its features.
    """

    def __init__(
        self,
        names: Sequence[str],
        networks: Mapping[str, NetworkSpec] | None = None,
        against: str = "real images",
        device: torch.device | str = "cpu",
        content: ContentMask | None = None,
        holds_images: bool = True,
    ) -> None:
        """Load the networks.

        Args:
            names: Names of metrics, see `find_metric`.
            networks: Networks of the user by name; ``inception`` gives the path of its weights.
            against: Name of the reference images in protocols.
            device: Device of the networks.
            content: Mask of the content of images, for content metrics.
            holds_images: Whether outputs are images, for metrics of any values: those of images are clipped.

        Raises:
            MetricError: A metric does not exist, lacks its network or the mask, or needs a generator's latents.
            CheckpointError: A network's file cannot be found or read.
        """
        self._specs = dict(networks or {})
        self._against = against
        self._device = device
        self._content = content
        self._holds_images = holds_images
        self._metrics: dict[str, tuple[Metric, str]] = {}
        self._sets: dict[str, SetComparison] = {}
        self._pairs: dict[str, PairComparison] = {}
        self._labels: dict[str, LabelComparison] = {}
        self._classes: dict[str, ClassComparison] = {}
        found = [(name, *find_metric(name, self._specs)) for name in names]
        for name, metric, network in found:
            self._metrics[name] = (metric, self._prepare(name, metric, network))
        for key, comparison in self._sets.items():
            comparison.reference = FeatureSet(keep=self.keeps_features(key))
        self.reset()

    @property
    def feature_networks(self) -> dict[str, FeatureNetwork]:
        """Networks that need reference images, under the keys of `use_reference`."""
        return {key: comparison.network for key, comparison in self._sets.items()}

    @property
    def needs_targets(self) -> bool:
        """True if `add` needs targets."""
        return bool(self._pairs)

    @property
    def needs_labels(self) -> bool:
        """True if `add` needs label maps."""
        return bool(self._labels)

    @property
    def needs_file_labels(self) -> bool:
        """True if `add` also needs label maps in the size of their files."""
        return any(comparison.network.in_file_size for comparison in self._labels.values())

    def keeps_features(self, key: str) -> bool:
        """Return whether a metric over one of `feature_networks` needs all features, not only their statistics."""
        over = [metric for metric, used in self._metrics.values() if used == key and isinstance(metric, SetMetric)]
        return any(metric.needs_features for metric in over)

    def add_reference(self, images: Tensor, names: Sequence[str] = ()) -> None:
        """Add reference images [b, 3, h, w], RGB in [-1, 1] or uint8, and names, for all of `feature_networks`.

        Raises:
            MetricError: The images have another shape or kind, or a reference is given as stored statistics.
        """
        for comparison in self._sets.values():
            comparison.add_reference(images, names)

    def use_reference(self, key: str, reference: FeatureSet | Gaussian) -> None:
        """Set the reference of one of `feature_networks` to kept features or stored statistics.

        Raises:
            MetricError: No metric uses such a network.
        """
        if key not in self._sets:
            raise MetricError(f"reference: got the network '{key}', expected one in use; {nearest(key, self._sets)}")
        self._sets[key].use_reference(reference)

    def add(
        self,
        images: Tensor,
        targets: Tensor | None = None,
        labels: Tensor | None = None,
        file_labels: Tensor | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Add generated images, or outputs of any shape for metrics of tensors.

        Args:
            images: [b, 3, h, w], RGB or uint8; values beyond [-1, 1] are clipped.
            targets: Target of each image, of the same shape.
            labels: Label maps of the images, class numbers [b, h', w'].
            file_labels: Label maps in the size of their files, if `needs_file_labels`.
            names: Names of the images, if they have some; content masks may depend on them.

        Raises:
            MetricError: Targets or labels are needed and missing, or something has a wrong shape or kind.
        """
        self._check_given("targets", targets, PairMetric)
        self._check_given("labels", labels, LabelMetric)
        outputs, images = images, _clipped(images)
        for comparison in self._sets.values():
            comparison.generated.add(comparison.network(images, names))
        for comparison in self._classes.values():
            comparison.add(images)
        if targets is not None:
            for name, comparison in self._pairs.items():
                pair = (outputs, targets) if self._is_of_tensors(name) else (images, _clipped(targets))
                comparison.add(*pair)
        if labels is not None:
            for name, comparison in self._labels.items():
                shown = file_labels if comparison.network.in_file_size else labels
                if shown is None:
                    raise MetricError(f"{name}: got label maps of the images' size alone, expected those of the files")
                comparison.add(images, shown)

    def results(self) -> list[MetricResult]:
        """Return the result of every metric, in the order of names. Raises MetricError if there are too few images."""
        return [self._result(name, metric, key) for name, (metric, key) in self._metrics.items()]

    def pair_values(self, name: str) -> Tensor | None:
        """Return a metric's value for each pair so far, float64 [images]; None for a metric of sets."""
        comparison = self._pairs.get(name)
        return None if comparison is None else comparison.all_values()

    def reset(self) -> None:
        """Discard the generated images; the reference stays."""
        for key, comparison in self._sets.items():
            comparison.generated = FeatureSet(keep=self.keeps_features(key))
        for comparison in self._pairs.values():
            comparison.values = []
        for comparison in self._labels.values():
            comparison.scores = LabelScores(comparison.network.num_classes, comparison.network.ignore_index)
        for comparison in self._classes.values():
            comparison.scores = ClassScores()

    def _prepare(self, name: str, metric: Metric, network: str | None) -> str:
        """Create the comparison that a metric is computed on, unless another metric shares it; returns its key."""
        if isinstance(metric, SetMetric):
            chosen = metric.network or network or name
            key = f"{chosen}_{metric.resizing}{'_content' if metric.content else ''}"
            if key not in self._sets:
                loaded = load_feature_network(chosen, self._specs.get(chosen), metric.resizing, self._device)
                content = self._content_for(name) if metric.content else None
                self._sets[key] = SetComparison(replace(loaded, content=content))
            return key
        if isinstance(metric, ClassMetric):
            chosen = metric.network or network or name
            key = f"{chosen}_{metric.resizing}"
            if key not in self._classes:
                loaded = load_classifier(chosen, self._specs.get(chosen), metric.resizing, self._device)
                self._classes[key] = ClassComparison(loaded)
            return key
        if isinstance(metric, PairMetric):
            self._pairs[name] = PairComparison(metric.make(self._specs[network] if network else None, self._device))
            return name
        if isinstance(metric, LatentMetric):
            raise MetricError(
                f"{name}: got images, expected a generator from noise; measure it with `gancompress evaluate`"
            )
        assert network is not None
        if network not in self._labels:
            self._labels[network] = self._label_comparison(network, self._specs[network])
        return network

    def _is_of_tensors(self, name: str) -> bool:
        metric = self._metrics[name][0]
        values = metric.values if isinstance(metric, PairMetric) else "images"
        return values == "tensors" or (values == "any" and not self._holds_images)

    def _content_for(self, name: str) -> ContentMask:
        if self._content is None:
            raise MetricError(
                f"{name}: got no mask of the content, expected one; set content_mask, for example to ellipse"
            )
        return self._content

    def _label_comparison(self, name: str, spec: NetworkSpec) -> LabelComparison:
        if spec.protocol is not None:
            protocol = SEGMENTATION_PROTOCOLS[spec.protocol]
            segment = SegmentationNetwork(
                name,
                spec.load(self._device),
                protocol.num_classes,
                spec.ignore_index if protocol.scored else protocol.num_labels,
                size=spec.size,
                device=self._device,
                scales=protocol.scales,
                scored=protocol.scored,
                in_file_size=protocol.in_file_size,
            )
            return LabelComparison(segment, LabelScores(segment.num_classes, segment.ignore_index))
        if spec.num_classes is None:
            raise MetricError(
                f"{name}: got no number of classes, expected num_classes for a segmentation network; set it"
            )
        segment = SegmentationNetwork(
            name,
            spec.load(self._device),
            spec.num_classes,
            spec.ignore_index,
            size=spec.size,
            device=self._device,
        )
        return LabelComparison(segment, LabelScores(spec.num_classes, spec.ignore_index))

    def _check_given(self, kind: str, given: Tensor | None, wanted_by: type[PairMetric] | type[LabelMetric]) -> None:
        wanting = [name for name, (metric, _) in self._metrics.items() if isinstance(metric, wanted_by)]
        if wanting and given is None:
            raise MetricError(
                f"{', '.join(wanting)}: got images without {kind}, expected {kind} for each; give them, or leave the "
                "metric out"
            )

    def _result(self, name: str, metric: Metric, key: str) -> MetricResult:
        if isinstance(metric, SetMetric):
            comparison = self._sets[key]
            score, num_images = metric.score(comparison), comparison.generated.count
            num_reference, protocol = comparison.num_reference_images, comparison.network.protocol
        elif isinstance(metric, PairMetric):
            score, num_images = self._pairs[key].mean(), self._pairs[key].count
            num_reference, protocol = num_images, None
        elif isinstance(metric, ClassMetric):
            classes = self._classes[key]
            score, num_images = metric.score(classes.scores), classes.scores.count
            num_reference, protocol = 0, classes.network.protocol
        else:
            assert isinstance(metric, LabelMetric)
            labels = self._labels[key]
            score, num_images = metric.score(labels.scores), labels.scores.count
            num_reference, protocol = num_images, labels.network.protocol
        against = f"against {'label maps' if isinstance(metric, LabelMetric) else self._against}"
        parts = (metric.words, "" if isinstance(metric, ClassMetric) else against, protocol)
        words = "; ".join(part for part in parts if part)
        return MetricResult(name, score[0], num_images, num_reference, score[1], metric.better, words)


def _clipped(images: Tensor) -> Tensor:
    return images.clamp(-1, 1) if images.is_floating_point() else images
