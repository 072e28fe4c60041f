"""Size of the images that a student is trained on, and the time that it takes to see enough of them."""

from __future__ import annotations

import math

from gancompress.errors import ConfigError
from gancompress.jobs.drafting.image_folder import ImageFolder, check_no_smaller
from gancompress.jobs.drafting.recognition import Recognised
from gancompress.jobs.drafting.request import Request
from gancompress.methods.pace import SHARE_OF_TIME

Size = tuple[int, int]

LARGEST_PX, SMALLEST_PX, PREFERRED_STEP_PX = 256, 32, 8
WANTED_IMAGES, FEWEST_IMAGES = 2_000, 100
STEP_BY_PASS = 1.5
"""Seconds of a training step by those of the teacher's pass over its images, before a step was timed."""


def choose_size(network: Recognised, folder: ImageFolder, request: Request, seconds_per_pixel: float) -> Size:
    """Choose the size of the images that the student is trained, measured and timed on.

    It is what the user says; the usual size of the images for a budget in milliseconds; else the largest square crop,
    up to 256 pixels, of which the time is enough for 2,000.

    Args:
        network: The network.
        folder: The images.
        request: The request.
        seconds_per_pixel: Time of the teacher for one pixel of its input.

    Raises:
        ConfigError: The size does not fit the network, or the time is not enough for 100 images.
        DataError: Images are smaller than the crop.
    """
    if network.fixed_side is not None:
        size = network.fixed_side, network.fixed_side
        if request.size not in (None, size):
            raise ConfigError(
                f"--size: got {size_text(request.size)}, expected {size_text(size)}, all that the network takes"
            )
        check_no_smaller(folder, size, "the only size that the network takes")
    elif request.size is not None:
        size = request.size
        if any(side % network.multiple for side in size):
            raise ConfigError(f"--size: got {size_text(size)}, expected sides divisible by {network.multiple}")
        check_no_smaller(folder, size, "--size")
    else:
        least = math.lcm(network.multiple, SMALLEST_PX)
        check_no_smaller(folder, (least, least), "the smallest crop")
        size = _chosen(network, folder, request, seconds_per_pixel)
    pass_s = seconds_per_pixel * size[0] * size[1]
    is_smallest = size == (SMALLEST_PX, SMALLEST_PX) or network.fixed_side is not None
    check_time(
        request, network.name, f"crops of {size_text(size)}", pass_s, "" if is_smallest else ", or a smaller --size"
    )
    return size


def check_time(request: Request, name: str, item: str, pass_s: float, instead: str = "") -> None:
    """Raise ConfigError if the time is not enough for 100 inputs.

    Args:
        request: The request.
        name: Name of the network.
        item: An input in words, in the plural.
        pass_s: Seconds of the network for one input.
        instead: End of the message.
    """
    affordable = int(training_seconds(request) / (STEP_BY_PASS * pass_s))
    if affordable < FEWEST_IMAGES:
        minutes = math.ceil(FEWEST_IMAGES * STEP_BY_PASS * pass_s / (60 * SHARE_OF_TIME))
        raise ConfigError(
            f"--minutes: got {request.minutes:g}, but {name} takes {pass_s:.2g} s for one of its {item}, so that a "
            f"student sees {affordable}, expected at least {FEWEST_IMAGES}; give --minutes {minutes}{instead}"
        )


def batch_size_for(request: Request, teacher_s: float) -> int:
    """Return the images of a step: fewer where the time is enough for few images only."""
    affordable = training_seconds(request) / (STEP_BY_PASS * teacher_s)
    return 4 if affordable >= 1_000 else 2 if affordable >= 400 else 1


def training_seconds(request: Request) -> float:
    """Return the seconds that steps of training may take."""
    return SHARE_OF_TIME * 60 * request.minutes


def _chosen(network: Recognised, folder: ImageFolder, request: Request, seconds_per_pixel: float) -> Size:
    if request.latency_ms is not None:
        sides = [min(usual, least) for usual, least in zip(folder.usual, folder.smallest, strict=True)]
        return sides[0] // network.multiple * network.multiple, sides[1] // network.multiple * network.multiple
    step = math.lcm(network.multiple, PREFERRED_STEP_PX)
    affordable = math.isqrt(int(training_seconds(request) / (WANTED_IMAGES * STEP_BY_PASS * seconds_per_pixel)))
    side = max(SMALLEST_PX, min(LARGEST_PX, affordable, *folder.smallest)) // step * step
    side = max(side, math.lcm(network.multiple, SMALLEST_PX))
    return side, side


def size_text(size: Size | None) -> str:
    """Return a size as text, such as 64x64."""
    return "none" if size is None else f"{size[0]}x{size[1]}"
