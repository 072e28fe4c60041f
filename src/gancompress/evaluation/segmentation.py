"""Agreement of generated images with their label maps, measured by a segmentation network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import MetricError
from gancompress.evaluation.bootstrap import bootstrap_interval
from gancompress.evaluation.images import RESIZE_WORDS, Size, resize


@dataclass(frozen=True)
class SegmentationNetwork:
    """A segmentation network with its preprocessing of images and comparison of labels.

    Attributes:
        name: Name in the metrics over it (``miou_<name>``).
        network: Images [b, 3, h, w], RGB in [0, 1], to logits [b, at least num_classes, h', w'].
        num_classes: Classes 0 ... num_classes - 1 are scored. The network may have more, such as one for everything
            else; pixels that it assigns to them are errors.
        ignore_index: Label of ignored pixels.
        size: Height and width of its input; None leaves images at their size.
        resizing: A name in `RESIZES`.
        device: Device of the network.
        scales: Factors of that size at which the network runs; the largest logit of each class counts.
        scored: Labels of its classes 0, 1, ...; other labels are ignored. Empty if labels are classes.
        in_file_size: Whether label maps are compared in the size of their files.
    """

    name: str
    network: nn.Module
    num_classes: int
    ignore_index: int
    size: Size | None = None
    resizing: str = "paper"
    device: torch.device | str = "cpu"
    scales: tuple[float, ...] = (1.0,)
    scored: tuple[int, ...] = ()
    in_file_size: bool = False

    @property
    def protocol(self) -> str:
        """Description of the protocol."""
        size = "images as they are" if self.size is None else f"{self.size[1]}x{self.size[0]} (width x height)"
        scales = "" if self.scales == (1.0,) else f"largest logits at scales {', '.join(map(str, self.scales))}, "
        labels = "label map's size" + (" in its file" if self.in_file_size else "")
        scored = f"the first {self.num_classes} classes scored, label {self.ignore_index} ignored"
        if self.scored:
            scored = f"{self.num_classes} classes scored, labels {', '.join(map(str, self.scored))}, others ignored"
        return f"{self.name}, {size}, {RESIZE_WORDS[self.resizing]}, {scales}logits bilinear to the {labels}, {scored}"

    @torch.inference_mode()
    def __call__(self, images: Tensor, size: Size) -> Tensor:
        """Return the predicted classes [b, *size] of images [b, 3, h, w], RGB in [-1, 1] or uint8.

        Raises:
            MetricError: The network returns no logits of enough classes.
        """
        seen = resize(images.to(self.device), self.size, self.resizing)
        logits = self._logits(seen)
        for scale in self.scales:
            if scale != 1:
                smaller = [max(1, round(side * scale)) for side in seen.shape[-2:]]
                others = self._logits(F.interpolate(seen, size=smaller, mode="bilinear", align_corners=False))
                logits = torch.maximum(logits, _resized(others, (logits.shape[2], logits.shape[3])))
        return _resized(logits, size).argmax(1).cpu()

    def classes_of(self, labels: Tensor) -> Tensor:
        """Convert label maps to the network's class numbers; labels that are not scored become ``ignore_index``."""
        if not self.scored:
            return labels
        labels = labels.long()
        table = torch.full((max(int(labels.max()), *self.scored) + 1,), self.ignore_index)
        table[list(self.scored)] = torch.arange(len(self.scored))
        return table[labels.cpu()]

    def _logits(self, images: Tensor) -> Tensor:
        outputs = self.network(images)
        logits = outputs if isinstance(outputs, Tensor) else outputs[0]
        if logits.ndim != 4 or len(logits) != len(images) or logits.shape[1] < self.num_classes:
            raise MetricError(
                f"{self.name}: got an output of shape {tuple(logits.shape)} for {len(images)} images, expected logits "
                f"[b, {self.num_classes} or more, h, w]; give a segmentation network, or its number of classes"
            )
        return logits


@dataclass
class LabelScores:
    """Agreement of predicted and true label maps, image by image.

    Attributes:
        num_classes: Number of scored classes.
        ignore_index: Label of ignored pixels.
    """

    num_classes: int
    ignore_index: int
    _parts: list[Tensor] = field(default_factory=list)

    def add(self, predicted: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            predicted: Classes, integers [b, h, w]; numbers from ``num_classes`` on are errors.
            labels: True classes or ``ignore_index``, integers of the same shape.

        Raises:
            MetricError: Shapes or kinds differ, or a label is neither a class nor the ignored one.
        """
        if predicted.shape != labels.shape or labels.ndim != 3 or labels.is_floating_point():
            raise MetricError(
                f"labels: got {labels.dtype} of shape {tuple(labels.shape)} for predictions of {tuple(predicted.shape)}"
                ", expected integers [b, h, w]; give class numbers, not colours"
            )
        labels = labels.long().cpu()
        counted = labels != self.ignore_index
        if ((labels < 0) | (labels >= self.num_classes))[counted].any():
            raise MetricError(
                f"labels: got {sorted(labels.unique().tolist())}, expected 0 to {self.num_classes - 1}, or "
                f"{self.ignore_index} to be ignored; map the labels, or give the number of classes"
            )
        self._parts.append(self._confusion(predicted.long().cpu(), labels, counted))

    @property
    def count(self) -> int:
        """Number of images."""
        return sum(len(part) for part in self._parts)

    @property
    def confusion(self) -> Tensor:
        """Pixels by true class (rows) and predicted class (columns, the last for all unscored classes), int64."""
        return self._per_image().sum(0)

    def miou(self) -> tuple[float, tuple[float, float] | None]:
        """Return the mean intersection over union of the classes that occur, and its interval.

        Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2015, section 3.2.
        """
        per_image = torch.cat(_intersection_and_union(self._per_image()), 1)

        def mean_iou(sums: Tensor) -> Tensor:
            return _iou(*sums.chunk(2, dim=1)).nanmean(1)

        return float(mean_iou(per_image.sum(0, keepdim=True))), bootstrap_interval(per_image, mean_iou)

    def pixel_accuracy(self) -> tuple[float, tuple[float, float] | None]:
        """Return the share of pixels with the right class, and its interval."""
        confusion = self._per_image()
        right = confusion.diagonal(dim1=1, dim2=2).sum(1)
        per_image = torch.stack([right, confusion.sum((1, 2))], 1).double()

        def accuracy(sums: Tensor) -> Tensor:
            return sums[:, 0] / sums[:, 1]

        return float(accuracy(per_image.sum(0, keepdim=True))), bootstrap_interval(per_image, accuracy)

    def _confusion(self, predicted: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
        images = torch.arange(len(labels)).view(-1, 1, 1).expand_as(labels)
        shape = (len(labels), self.num_classes, self.num_classes + 1)
        index = (images * shape[1] + labels) * shape[2] + predicted.clamp_max(self.num_classes)
        return torch.bincount(index[counted], minlength=math.prod(shape)).view(shape)

    def _per_image(self) -> Tensor:
        if not self._parts:
            raise MetricError("labels: got no images, expected at least one; give images with label maps")
        return torch.cat(self._parts)


def _resized(logits: Tensor, size: Size) -> Tensor:
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _intersection_and_union(confusion: Tensor) -> tuple[Tensor, Tensor]:
    """Count the pixels [n, classes] of each class in both maps and in either, of matrices [n, classes, classes + 1]."""
    intersection = confusion.diagonal(dim1=1, dim2=2)
    return intersection.double(), (confusion[..., :-1].sum(1) + confusion.sum(2) - intersection).double()


def _iou(intersection: Tensor, union: Tensor) -> Tensor:
    return torch.where(union > 0, intersection / union, torch.nan)
