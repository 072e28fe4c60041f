"""Semantic image synthesis: photographs from label maps.

Source: Park et al., Semantic Image Synthesis with Spatially-Adaptive Normalization, CVPR 2019, section 3; instance
edges: Wang et al., pix2pixHD, CVPR 2018, section 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.data import Classes, DataConfig, instance_edges
from gancompress.data.kinds.labels import LabelledConfig
from gancompress.data.kinds.webdataset import WebDatasetConfig
from gancompress.data.palette import label_picture
from gancompress.errors import ConfigError
from gancompress.networks.file_form import FileForm, label_map_form
from gancompress.networks.given import Given, one_tensor
from gancompress.networks.label_input import one_hot
from gancompress.tasks.gaugan import GAUGAN_TERMS, GauganObjective
from gancompress.tasks.task import Task, TaskOptions, TeacherTraining, register_task
from gancompress.training import Batch, Objective


@register_task
class SemanticOptions(TaskOptions):
    """Photographs from label maps; the classes come from the data set.

    Attributes:
        dont_care: Whether "don't care" has its own channel; otherwise such pixels are 0 in all channels. By default it
            has one if the data set's classes ignore some value.
        edges: Whether the borders of objects are one more channel, if the data set has instance maps.
    """

    kind = "semantic"
    paired = True

    dont_care: bool | None = None
    edges: bool = True

    def build(self, data: DataConfig | None) -> SemanticTask:
        """Return the task. Raises the errors of `SemanticTask.of`."""
        return SemanticTask.of(self, data)


@dataclass(frozen=True)
class SemanticTask(Task):
    """Semantic image synthesis: the photograph of a label map.

    A batch holds ``input`` as label numbers, to save memory and transfers: [b, 1, h, w] labels, or [b, 2, h, w] with
        the borders of objects (0 and 1) appended. `encode` turns it into the input of generators: a channel of 0 and 1
        for each label, and the borders.

    Attributes:
        classes: Classes of the labels.
        dont_care: Whether "don't care", label ``num_classes``, has a channel.
        edges: Whether the borders of objects are part of the input.
    """

    name: str = "semantic"
    paired: bool = True
    takes_labels: bool = True
    classes: Classes = field(default_factory=lambda: Classes(num_classes=1))
    dont_care: bool = True
    edges: bool = False

    @classmethod
    def of(cls, options: SemanticOptions, data: DataConfig | None) -> SemanticTask:
        """Return the task on a data set.

        Raises:
            ConfigError: The data set has no label maps with photographs.
        """
        if isinstance(data, LabelledConfig):
            classes, has_instances = data.classes, data.instances is not None
        elif isinstance(data, WebDatasetConfig) and data.classes is not None and {"label", "image"} <= set(data.roles):
            classes, has_instances = data.classes, "instance" in data.roles
        else:
            kind = "no data set" if data is None else f"data of kind '{getattr(data, 'kind', type(data).__name__)}'"
            raise ConfigError(
                f"semantic: got {kind}, expected label maps with photographs; take kind labels, cityscapes or "
                "coco_stuff, or webdataset with the roles label and image"
            )
        dont_care = bool(classes.ignore) if options.dont_care is None else options.dont_care
        return cls(classes=classes, dont_care=dont_care, edges=options.edges and has_instances)

    def objective(self, training: TeacherTraining) -> Objective:
        """Return the objective of GauGAN."""
        terms = training.terms or GAUGAN_TERMS
        return GauganObjective(self, training.generator, training.discriminator, terms, training.image)

    @property
    def num_labels(self) -> int:
        """Number of labels that have a channel."""
        return self.classes.num_classes + self.dont_care

    def prepare(self, batch: Batch, split: str, numbers: Sequence[int], seed: int = 0) -> Batch:
        """Return labels and borders as ``input``, photographs as ``target``."""
        maps = [batch["label"], *([instance_edges(batch["instance"])] if self.edges else [])]
        dtype = torch.uint8 if self.classes.num_classes < 256 else torch.int32
        stacked = torch.stack([each.to(dtype) for each in maps], 1)
        kept = {key: value for key, value in batch.items() if key not in ("image", "instance")}
        return {**kept, "input": stacked, "target": batch["image"]}

    def encode(self, held: Given) -> Tensor:
        """Return a batch's ``input`` as channels [b, labels (+ 1), h, w] of 0 and 1; channels are not changed."""
        held = one_tensor(held, f"task {self.name}")
        if held.is_floating_point():
            return held
        return torch.cat([one_hot(held[:, 0], self.num_labels), held[:, 1:].float()], 1)

    def generator_options(self) -> dict[str, Any]:
        """Return the number of input channels."""
        return {"in_channels": self.num_labels + self.edges}

    def columns(self, batch: Batch, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return label maps in the colours of their classes, generated images and photographs."""
        picture = label_picture(batch["input"][:, 0], self.classes.shown_colours)
        return {"label map": picture, **images, "photograph": batch["target"]}

    def file_form(self, generator: nn.Module, held: Given) -> FileForm:
        """Return a file form that takes integer label maps and boolean borders; the file builds the channels."""
        form = label_map_form(generator, self.num_labels, self.encode(held))
        facts = {**form.facts, "classes": ", ".join(self.classes.shown_names)}
        if self.dont_care:
            facts["dont_care"] = str(self.classes.num_classes)
        return replace(form, facts=facts)
