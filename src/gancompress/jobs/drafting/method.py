"""Method of a recipe, from facts about the network, the folder and the pace of this machine. Nothing is run."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gancompress.deploy import DEFAULT_MIN_PSNR_DB, MIN_IMAGES
from gancompress.jobs.drafting.image_folder import ImageFolder
from gancompress.jobs.drafting.material import Material
from gancompress.jobs.drafting.recognition import Recognised
from gancompress.jobs.drafting.request import Request
from gancompress.jobs.drafting.sizes import Size, batch_size_for, size_text, training_seconds
from gancompress.jobs.recipe import TENSOR_METRICS
from gancompress.jobs.steps.networks import NetworkOptions
from gancompress.methods.depth import NUM_IMAGES as SCORED_IMAGES
from gancompress.methods.pace import steps_in
from gancompress.objectives.teacher_cache import GIB
from gancompress.training import IMITATION_BETAS

TASK = "imitate"
SHARE_OF_REFIT, SHARE_OF_TEST = 0.15, 0.1
MULTIPLES = (4, 2, 1)
_REFIT_IMAGES, _FEWEST_REFIT_IMAGES = 64, 4
_TEST_IMAGES, _WATCHED_IMAGES = 4, 8
_LEARNING_RATE, _FRESH_LEARNING_RATE = 5e-4, 1e-3
_SMALLEST_SSIM_PX = 16
_SHARE_OF_TEACHER = 0.4
"""Share of the time in which a slow teacher makes the images that its student then repeats."""
_KEPT_GIB = 4


@dataclass(frozen=True)
class Pace:
    """Speed of this machine with the networks of a recipe.

    Attributes:
        teacher_s: Seconds of the teacher's pass over one image of the size.
        step_s: Seconds of one training step, with the teacher's pass.
        kept_step_s: Seconds of one whose teacher's outputs were kept from an earlier epoch.
        precision: Precision of training in which these were measured.
    """

    teacher_s: float
    step_s: float
    kept_step_s: float
    precision: str = "fp32"


@dataclass(frozen=True)
class Narrowed:
    """A first cut of the network to the budget.

    Attributes:
        multiple: Divisor of its widths.
        refit_images: Number of images that a refit needs at the least; None if it cannot be refitted.
        taps: Modules whose feature maps are compared.
        num_blocks: Number of residual blocks that can be left out whole.
        num_left_out: Number of these that the plan of the fewest blocks leaves out to meet the budget.
        kept_bytes: Bytes of the teacher's outputs and feature maps for one input, as they are kept; 0 if unknown.
    """

    multiple: int
    refit_images: int | None
    taps: tuple[str, ...]
    num_blocks: int = 0
    num_left_out: int = 0
    kept_bytes: int = 0


@dataclass(frozen=True)
class Draft:
    """A recipe with the reasons for its choices, one line each."""

    recipe: Mapping[str, Any]
    reasons: Sequence[str] = field(default_factory=tuple)


def terms_of(material: Material, narrowed: Narrowed) -> list[dict[str, Any]]:
    """Return the loss terms: the teacher's output, its feature maps, and structure; without a discriminator."""
    terms: list[dict[str, Any]] = [{"kind": "l1", "weight": 100}]
    if narrowed.taps:
        terms.append({"kind": "features", "weight": 1})
    if material.holds_images and min(material.output[1:]) >= _SMALLEST_SSIM_PX:
        terms.append({"kind": "ssim", "weight": 5})
    if not material.holds_images and material.is_sound:
        terms.append({"kind": "stft", "weight": 5})
    return terms


def metrics_of(material: Material) -> tuple[str, ...]:
    """Return the metrics against the teacher: those of RGB images, or of tensors of any range."""
    if not material.holds_images:
        return TENSOR_METRICS
    return ("psnr", "ssim") if material.output[0] == 3 else ("psnr_range", "relative_error")


def data_of(folder: ImageFolder, network: Recognised, size: Size) -> dict[str, Any]:
    """Return the data of a recipe: crops at the resolution of the files."""
    channels = {} if network.channels == 3 else {"decoding": {"channels": network.channels}}
    return {
        "kind": "images",
        "root": folder.path,
        "images": ".",
        "splits": folder.splits,
        "transform": {"resize": "none", "crop_size": list(size), "flip": True},
        **channels,
    }


def material_of(network: Recognised, folder: ImageFolder, size: Size) -> Material:
    """Return the material that images of a folder are; a range that is given or was measured is written down."""
    stated = str(network.images) if network.images is not None and network.range_from != "declared" else None
    output = network.out_channels, *(int(side * network.scale) for side in size)
    data = data_of(folder, network, size)
    return Material(data, folder.counts(), f"crops of {size_text(size)}", output, image_range=stated)


def teacher_of(material: Material, request: Request) -> dict[str, Any]:
    """Return the teacher of a recipe."""
    named = {} if request.network is None else {"family": request.network}
    named |= {"config": dict(request.config)} if request.config else {}
    named |= {} if material.image_range is None else {"range": material.image_range}
    named |= {"fold_branches": True} if material.folds else {}
    return {"checkpoint": request.checkpoint, **named}


def exports_of(request: Request, num_train: int, formats: Sequence[str]) -> list[Any]:
    """Return the files: one in float32, and the fastest that stays within the quality.

    Args:
        request: The request.
        num_train: Number of training images, on which files are calibrated and compared.
        formats: Formats that this machine can time, the fastest runtime first.
    """
    if num_train < MIN_IMAGES or not formats:
        return ["onnx"]
    floor = DEFAULT_MIN_PSNR_DB if request.min_psnr_db is None else request.min_psnr_db
    fastest = {"format": formats[0], "precision": "fastest", "min_psnr_db": floor}
    return ["onnx", fastest | {"num_images": min(64, num_train)}]


def draft(
    material: Material,
    request: Request,
    narrowed: Narrowed,
    pace: Pace,
    formats: Sequence[str],
    student: NetworkOptions | None = None,
) -> Draft:
    """Write a recipe: cut to the budget, refit, and distil from the teacher's outputs.

    Args:
        material: The data.
        request: The request.
        narrowed: A first cut of the network.
        pace: Speed of this machine.
        formats: Formats whose files this machine can time, the fastest runtime first.
        student: Another architecture for the student.
    """
    batch = batch_size_for(request, pace.teacher_s)
    length = length_of(material, request, narrowed, pace, batch)
    steps, how = _steps(material, request, narrowed, pace, student, length.training(batch, pace.precision))
    tested = max(_TEST_IMAGES, int(SHARE_OF_TEST * 60 * request.minutes / pace.teacher_s))
    limit = {} if tested >= material.counts["test"] else {"max_images": tested}
    trunk = {} if request.perceptual is None else {_trunk_name(request.perceptual): {"path": request.perceptual}}
    recipe = {
        "name": request.name,
        "seed": request.seed,
        "task": TASK,
        "data": dict(material.data),
        "teacher": teacher_of(material, request),
        "budget": request.budget,
        "steps": steps,
        "metrics": {
            "against_real": [],
            "against_teacher": [*(request.metrics or metrics_of(material)), *(f"perceptual_{name}" for name in trunk)],
            **({"networks": trunk} if trunk else {}),
            **limit,
        },
        "exports": exports_of(request, material.counts["train"], formats),
        "progress_images": min(_WATCHED_IMAGES, material.counts["search"]),
    }
    reasons = [
        f"method: {how}; no discriminator and no search, which do not pay for one network and a short time",
        f"training: {length.num_images:,} {material.items} in about {request.minutes:g} min, {pace.step_s:.2g} s for "
        f"each {batch}{length.repeated}{', in bf16, which is faster here' if pace.precision == 'bf16' else ''}",
    ]
    if not narrowed.taps and student is None:
        reasons.append("no feature maps are compared: the network has no stages to take them from")
    return Draft(recipe, tuple(reasons))


def _steps(
    material: Material,
    request: Request,
    narrowed: Narrowed,
    pace: Pace,
    student: NetworkOptions | None,
    learning: dict[str, Any],
) -> tuple[list[dict[str, Any]], str]:
    """Return the steps, and words for them."""
    learning = {"distillation": {"reconstruct": "teacher", "terms": terms_of(material, narrowed)}, **learning}
    if student is not None:
        options = {"family": student.family, "config": dict(student.config)}
        only = {"kind": "distill", "student": options, "initial": "random", "multiple": narrowed.multiple}
        learning["training"] |= {"optimizer": _optimizer(_FRESH_LEARNING_RATE)}
        words = f"a fresh {student.family} of {_budget_text(request)} learns from the original's outputs"
        return [{**only, **learning}], words
    refit, reason = _refit(request, narrowed, pace, material.counts["train"])
    if refit and (depth := _depth(request, narrowed, pace)):
        refit, reason = depth | refit, f"{reason}, residual blocks left out if that is nearer to the original"
    steps = [
        {"kind": "prune", "multiple": narrowed.multiple, **refit},
        {"kind": "finetune", **learning},
    ]
    return steps, f"cut to {_budget_text(request)}, {reason}, then distil from the original's outputs"


@dataclass(frozen=True)
class Length:
    """Length of a training.

    Attributes:
        num_images: Images to train on.
        copies: Random crops and flips of each image, after which the same ones come again; None does not restrict them.
        repeated: Words about outputs of the teacher that are kept.
    """

    num_images: int
    copies: int | None = None
    repeated: str = ""

    def training(self, batch_size: int, precision: str = "fp32") -> dict[str, Any]:
        """Return the training and the cache of the teacher's outputs in a recipe."""
        cache = {} if self.copies is None else {"teacher_cache": {"copies": self.copies}}
        half = {} if precision == "fp32" else {"precision": precision}
        return {"training": training_of(self.num_images, batch_size) | half, **cache}


def length_of(material: Material, request: Request, narrowed: Narrowed, pace: Pace, batch_size: int) -> Length:
    """Return the length of a training that fits into the time.

    If inputs do not repeat and the teacher takes longer than the student's step, it runs on as many crops of each image
    as `_SHARE_OF_TEACHER` of the time allows, and the student trains on these again and again: the same time then gives
    it several times the steps.
    """
    seconds, num_train = training_seconds(request), material.counts["train"]
    if material.repeats:
        first = math.ceil(num_train / batch_size)
        images = steps_in(seconds, pace.step_s, pace.kept_step_s, first) * batch_size
        if images <= first * batch_size:
            return Length(images)
        return Length(images, repeated=f", then {pace.kept_step_s:.2g} s with the original's outputs in memory")
    images, student_s = steps_in(seconds, pace.step_s) * batch_size, pace.kept_step_s / batch_size
    copies = int(_SHARE_OF_TEACHER * seconds / (num_train * pace.teacher_s))
    if narrowed.kept_bytes:
        copies = min(copies, int(_KEPT_GIB * GIB / (num_train * narrowed.kept_bytes)))
    longer = int((seconds - num_train * copies * pace.teacher_s) / (student_s * batch_size)) * batch_size
    if not narrowed.kept_bytes or not copies or student_s > pace.teacher_s or longer < 2 * num_train * copies:
        return Length(images)
    words = f", then {pace.kept_step_s:.2g} s: the original runs once on each of {copies} crops of every image"
    return Length(longer, copies, words)


def training_of(images: int, batch_size: int) -> dict[str, Any]:
    """Return options of the training loop for a number of images, the last three fifths with a falling rate."""
    full = max(batch_size, images * 2 // 5 // batch_size * batch_size)
    return {
        "num_images": full,
        "num_warmup_images": min(full, images // 20),
        "num_decay_images": max(0, images - full),
        "decay": "cosine",
        "batch_size": batch_size,
        "ema_half_life": min(500, images // 40),
        "optimizer": _optimizer(_LEARNING_RATE),
        "checkpoint_every": max(batch_size, min(2_000, images // 10)),
        "log_every": max(batch_size, images // 20),
        "preview_every": 0,
    }


def _optimizer(learning_rate: float) -> dict[str, Any]:
    return {"learning_rate": learning_rate, "betas": list(IMITATION_BETAS)}


def refit_images(request: Request, teacher_s: float, num_train: int) -> int:
    """Return the number of images that a refit can have: those of the folder that fit into its share of the time."""
    return min(_REFIT_IMAGES, int(SHARE_OF_REFIT * 60 * request.minutes / teacher_s), num_train)


def is_refitted(needed: int | None, num_images: int) -> bool:
    """Return whether a network that needs a number of images, if it can be refitted at all, gets them."""
    return needed is not None and num_images >= max(_FEWEST_REFIT_IMAGES, needed)


def _refit(request: Request, narrowed: Narrowed, pace: Pace, num_train: int) -> tuple[dict[str, Any], str]:
    """Return the refit's options, if it can be done in its share of the time, and words for it."""
    images = refit_images(request, pace.teacher_s, num_train)
    if narrowed.refit_images is None:
        return {}, "not refitted, because its layers are no plain ones"
    if not is_refitted(narrowed.refit_images, images):
        needed = max(_FEWEST_REFIT_IMAGES, narrowed.refit_images)
        return {}, f"not refitted, because that needs {needed} images and the time or the folder has {images}"
    return {"refit": {"num_images": images, "crop_px": None}}, "refit by least squares"


def _depth(request: Request, narrowed: Narrowed, pace: Pace) -> dict[str, Any]:
    """Return the options of depth: none for a network without blocks, and for a budget in milliseconds."""
    if not narrowed.num_blocks or request.latency_ms is not None:
        return {}
    scoring_s = narrowed.num_blocks * SCORED_IMAGES * pace.teacher_s
    cheap = {} if scoring_s <= SHARE_OF_REFIT * 60 * request.minutes else {"block_score": "branch_norm"}
    return {"depth": "auto", **cheap}


def _budget_text(request: Request) -> str:
    if request.smaller is not None:
        return f"{request.smaller:g} times fewer MACs"
    if request.latency_ms is not None:
        return f"{request.latency_ms:g} ms on {request.runtime}"
    return f"{request.num_bytes:,.0f} bytes"


def _trunk_name(path: str) -> str:
    return re.sub(r"\W+", "_", Path(path).name.split(".")[0]).lower()
