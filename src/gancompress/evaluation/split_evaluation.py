"""Evaluation of generators on a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from gancompress.data.kinds.labels import LabelledConfig
from gancompress.errors import MetricError
from gancompress.evaluation import ContentMask, Evaluator, FeatureNetwork, FeatureSet, MetricResult, reference_key
from gancompress.evaluation.held_batches import HeldBatches
from gancompress.evaluation.latent.evaluation import LatentEvaluation, latent_metrics
from gancompress.evaluation.options import MetricOptions
from gancompress.evaluation.split_digest import split_digest
from gancompress.evaluation.stopwatch import Stopwatch
from gancompress.networks.given import call
from gancompress.networks.noise import kept_noise
from gancompress.networks.outputs import image_of
from gancompress.tasks.inputs import Inputs
from gancompress.training import Batch


class Evaluation:
    """Metrics on one split, for one generator after another.

    Networks are loaded and images decoded once, as far as memory allows. Features of real images are computed once for
    all runs: they are cached under a key of their origin.
    """

    def __init__(
        self,
        options: MetricOptions,
        names: Sequence[str],
        inputs: Inputs,
        split: str,
        teacher: nn.Module | None = None,
        stopwatch: Stopwatch | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Load the networks.

        Args:
            options: Options of the metrics.
            names: The metrics.
            inputs: Images of the data, for the task.
            split: Name of the split.
            teacher: If given, its images replace the real ones in all comparisons. Networks then use the noise maps
                that it holds, if they add any.
            stopwatch: Counts the time of each part: ``loading`` of images, ``generation``, ``features`` (metrics of a
                batch), ``distance`` (metrics of all batches), ``reference`` (once), ``latents``.
            device: Device of the computation.

        Raises:
            MetricError: A metric does not exist, lacks its network or mask, or has no comparison with a teacher.
            CheckpointError: A network's file cannot be loaded or read.
        """
        self._options, self._inputs, self._split = options, inputs, split
        self._device = torch.device(device)
        self._teacher = None if teacher is None else teacher.to(self._device).eval()
        self._watch = stopwatch or Stopwatch(self._device)
        against = "real images" if teacher is None else "the teacher's images"
        of_latents = latent_metrics(names, options)
        if of_latents and teacher is not None:
            raise MetricError(
                f"{', '.join(of_latents)}: got a teacher to compare with, expected none: metrics of a latent space are "
                "those of one generator; name them in against_real"
            )
        self._names = tuple(names)
        self._latent = LatentEvaluation(options, tuple(of_latents), inputs, split, device) if of_latents else None
        of_images = [name for name in names if name not in of_latents]
        content = None if options.content_mask is None else ContentMask.of(options.content_mask)
        holds_images = inputs.data.holds_images
        self._evaluator = Evaluator(of_images, options.specs(), against, self._device, content, holds_images)
        self._draws_images = bool(of_images)
        self._batches = HeldBatches(self._make_batches, options.memory_gib)
        self._has_references = False

    @torch.no_grad()
    def of(self, generator: nn.Module) -> list[MetricResult]:
        """Evaluate a generator, from inputs to images, on any device.

        Raises:
            MetricError: A metric needs pairs or label maps that the data does not have, more images, or styles that the
                generator does not have.
        """
        generator = generator.to(self._device).eval()
        found = {result.name: result for result in self._of_images(generator)} if self._draws_images else {}
        if self._latent is not None:
            with self._watch.part("latents"):
                found |= self._latent.of(generator)
        return [found[name] for name in self._names]

    def per_image(self, name: str) -> Tensor | None:
        """Return a metric of each image of the last evaluated generator, float64 of shape ``(images,)``.

        None for a metric of whole sets of images.
        """
        return self._evaluator.pair_values(name)

    def _of_images(self, generator: nn.Module) -> list[MetricResult]:
        evaluator, watch = self._evaluator, self._watch
        if not self._has_references:
            with watch.part("reference"):
                self._find_references()
        evaluator.reset()
        for batch in watch.each("loading", self._batches):
            with watch.part("generation"):
                images = self._drawn(generator, batch)
            with watch.part("features"):
                names = self._inputs.task.names(batch)
                evaluator.add(images, batch.get("reference"), batch.get("label"), batch.get("file_label"), names)
        with watch.part("distance"):
            return evaluator.results()

    def _make_batches(self) -> Iterator[Batch]:
        """Yield for every batch the inputs and the references that the metrics of each generator need."""
        limits = self._split, self._options.batch_size, self._options.max_images
        wants_pairs = self._evaluator.needs_labels or (self._evaluator.needs_targets and self._teacher is None)
        for batch in self._inputs.images(*limits) if wants_pairs else self._inputs.side("input", *limits):
            kept = {"input": batch["input"], "name": batch["name"]}
            if self._evaluator.needs_targets:
                kept["reference"] = self._reference(batch)
            if self._evaluator.needs_labels and "label" in batch:
                kept["label"] = batch["label"]
            if self._evaluator.needs_file_labels:
                kept["file_label"] = self._file_labels(batch["index"].tolist())
            yield kept

    def _file_labels(self, indices: Sequence[int]) -> Tensor:
        """Return label maps [b, h, w] in the size of their files."""
        data = self._inputs.data
        if not isinstance(data, LabelledConfig):
            raise MetricError(
                f"{self._split}: got a data set that is no folder of label maps, expected one for a protocol that "
                "takes them in the size of their files; take kind labels, or num_classes in the place of the protocol"
            )
        maps = data.open_labels(self._split)
        return torch.stack([maps[index]["label"] for index in indices]).to(torch.int16)

    def _reference(self, batch: Batch) -> Tensor:
        if self._teacher is not None:
            return self._drawn(self._teacher, batch).cpu()
        if "target" not in batch:
            raise MetricError(
                f"{self._split}: got a data set without targets, expected real images to compare with; compare with "
                "the teacher's, or give another kind of data set"
            )
        return batch["target"]

    def _drawn(self, generator: nn.Module, batch: Batch) -> Tensor:
        given = self._inputs.task.encode(batch["input"].to(self._device))
        shared = {} if self._teacher is None else kept_noise(self._teacher, generator)
        return image_of(call(generator, given, **shared))

    def _find_references(self) -> None:
        """Load the features of the reference images: real ones from the cache, or computed."""
        networks = self._evaluator.feature_networks
        cached = bool(networks) and self._teacher is None
        images = split_digest(self._inputs, self._split, self._options.max_images) if cached else ""
        for key, network in networks.items():
            keep = self._evaluator.keeps_features(key)
            if cached and (network.content is None or network.content.fingerprint is not None):
                cache, name = self._options.reference_cache(), reference_key(images, network)
                features = cache.get(name, lambda n=network, k=keep: self._reference_features(n, k), keep)
            else:
                features = self._reference_features(network, keep)
            self._evaluator.use_reference(key, features)
        self._has_references = True

    def _reference_features(self, network: FeatureNetwork, keep: bool) -> FeatureSet:
        features = FeatureSet(keep)
        if self._evaluator.needs_targets:  # the references are then held with the inputs
            references = ((batch["reference"], batch["name"]) for batch in self._batches)
        else:
            side = "target" if self._teacher is None else "input"
            limits = self._split, self._options.batch_size, self._options.max_images
            batches = self._inputs.side(side, *limits)
            references = ((self._reference(batch), batch["name"]) for batch in batches)
        for images, names in references:
            features.add(network(images.clamp(-1, 1) if images.is_floating_point() else images, names))
        return features
