"""Calibration images of a file: from a folder, from the data of a run, or drawn from noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gancompress.cli.options import notices
from gancompress.cli.parsing import folder_images
from gancompress.data import Classes
from gancompress.deploy.axes import Inputs
from gancompress.deploy.named import NamedNetwork
from gancompress.deploy.web import read_samples
from gancompress.errors import ConfigError
from gancompress.job import Job
from gancompress.networks.file_form import FileForm, label_map_form
from gancompress.networks.generator import Generator
from gancompress.networks.label_input import LabelInput
from gancompress.pipeline import Pipeline
from gancompress.steps import cropped
from gancompress.steps.refit import CROP_PX

_NUM_IMAGES = 64
_BATCH = 4  # several batches, so that a quarter and a half of the images are whole batches


def calibration_inputs(
    network: NamedNetwork,
    folder: Path | None,
    run: Path,
    job: Job | None,
    option: str = "--calibration",
    num_images: int = _NUM_IMAGES,
) -> list[Inputs]:
    """Return inputs like those that a network's file will see, four in each.

    Args:
        network: The network, with how its file takes inputs.
        folder: Images, or label maps if its file takes those; None uses the training split of a run, or noise.
        run: The run directory that the user named.
        job: The job of that run directory; None if it is no run directory.
        option: The option that names the folder, for messages.
        num_images: The largest number of images.
    Raises:
        ConfigError: There is no source of inputs, or a folder does not hold everything that the network takes.
        DataError: There are no images, or one cannot be read.
    """
    if folder is None and job is not None:
        return Pipeline(job, run, notices.print).file_inputs(network.generator.build(), num_images)
    first, *others = network.form.inputs
    if network.generator.architecture.is_latent and not others:
        draw = torch.Generator().manual_seed(0)
        return [(network.generator.architecture.draw_latents(_BATCH, draw),) for _ in range(num_images // _BATCH)]
    if others:
        raise ConfigError(
            f"{option}: got a network of {1 + len(others)} inputs, expected one of images, label maps or noise, "
            "or a run directory, whose own data has all"
        )
    takes_labels = isinstance(network.form.module, LabelInput)
    if not takes_labels and "encoding" in network.generator.architecture.input_contract():
        raise ConfigError(f"{option}: got a network of label maps without --labels; say how many labels it knows")
    if folder is None:
        raise ConfigError(
            f"{option}: expected a folder of {'label maps' if takes_labels else 'images'} like those that the "
            "network will see, or a run directory, whose own data is taken"
        )
    if not takes_labels:
        return [(batch["input"],) for batch in folder_images(str(folder), first, num_images, _BATCH)]
    size = (int(first.shape[-2]), int(first.shape[-1]))
    classes = Classes(num_classes=int(network.form.facts["labels"]))
    maps = read_samples(folder, size, classes, most=num_images, option=option)
    labels = torch.from_numpy(np.stack([np.asarray(each.image) for each in maps])).to(torch.int32)
    return [(some,) for some in labels.split(_BATCH)]


def refit_inputs(
    generator: Generator, folder: Path, shapes: tuple[Tensor, ...], labels: int | None, num_images: int
) -> tuple[Tensor, ...]:
    """Return the inputs that a generator is refitted on, all images in one batch, cropped if the generator takes crops.

    Args:
        generator: The generator, at full width.
        folder: Images or label maps.
        shapes: Examples of its inputs.
        labels: Number of labels, for a generator that takes label maps.
        num_images: The largest number of images.

    Raises:
        ConfigError: A folder does not hold everything that the network takes.
        DataError: There are no images, or one cannot be read.
    """
    module = generator.build()
    form = FileForm(module, shapes) if labels is None else label_map_form(module, labels, shapes[0])
    network = NamedNetwork("refit", generator, form, shapes)
    batches = calibration_inputs(network, folder, folder, None, "--refit", num_images)
    images = torch.cat([batch for (batch,) in batches])
    if isinstance(form.module, LabelInput):
        images = form.module.channels(images)
    return (cropped(images, generator, CROP_PX),)
