"""Options of the files that a job exports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gancompress.deploy import DEFAULT_MIN_PSNR_DB, MIN_IMAGES, Format, find_format, known_formats
from gancompress.deploy.benchmark import ALL, FASTEST, timed_formats
from gancompress.deploy.rewrites import REWRITES
from gancompress.errors import ConfigError
from gancompress.options import Options, as_tuple


def _file_format(name: str) -> str:
    """Raise an error for a format that files cannot be written in."""
    try:
        _, kind = find_format(name)
    except ConfigError as error:
        raise ValueError(str(error).removeprefix("format: ")) from error
    if kind.page:
        raise ValueError(f"got '{name}', which is a page, expected one of {', '.join(known_formats())}")
    return name


class ExportOptions(Options):
    """Options of an exported file.

    Attributes:
        format: A name in `gancompress.deploy.known_formats`, or the import path of a `gancompress.deploy.Runtime`.
        rewrites: Exact rewrites of the network for its runtime; by default those that were measured to help.
        precision: Precision of the file; by default float32, or for a quantized network integers, as it was trained.
            ``int8`` is the form that its runtime computes fastest, its ranges from training images; ``fastest`` is the
            precision that its runtime computes fastest on this machine, found by timing.
        min_psnr_db: For ``int8``: layers stay float until the images are so close to those of the float network; 0
            accepts any distance. For ``fastest``: the required closeness of a file.
        threads: For ``fastest``: threads of the runtime; the runtime's own default if not set.
        opset: Opset of an ONNX file, 11 or newer; the exporter's own by default.
        num_images: Training images: ``int8`` is calibrated on three quarters of them; on the others, files of every
            precision are compared with the float network.
        if_installed: Skip the file if a package that its format needs is not installed, instead of refusing the job.
    """

    format: Annotated[str, AfterValidator(_file_format)] = "onnx"
    rewrites: Annotated[
        tuple[Annotated[str, AfterValidator(REWRITES.known)], ...] | None, BeforeValidator(as_tuple)
    ] = None
    precision: str | None = None
    min_psnr_db: Annotated[float, Field(ge=0)] = DEFAULT_MIN_PSNR_DB
    threads: Annotated[int, Field(ge=1)] | None = None
    opset: Annotated[int, Field(ge=11)] | None = None
    num_images: Annotated[int, Field(ge=MIN_IMAGES)] = 64
    if_installed: bool = False

    @model_validator(mode="after")
    def _precision_fits(self) -> ExportOptions:
        kind = self.kind
        known = (*kind.precisions, *([FASTEST] if kind.name in timed_formats() else []))
        if self.precision is not None and self.precision not in known:
            raise ValueError(f"precision: got {self.precision} for {self.format}, expected {' or '.join(known)}")
        if self.min_psnr_db != DEFAULT_MIN_PSNR_DB and not self.calibrates:
            raise ValueError("min_psnr_db: got it without precision int8 or fastest, expected one of the two")
        if self.threads is not None and not self.is_chosen_by_timing:
            raise ValueError("threads: got it without precision fastest, expected that; no other precision is timed")
        if self.rewrites is not None and self.is_chosen_by_timing:
            raise ValueError("rewrites: got some with precision fastest, which chooses them itself; remove them")
        if self.opset is not None and not kind.opsets:
            raise ValueError(f"opset: got {self.opset} for {self.format}, expected none: only ONNX has opsets")
        return self

    @property
    def kind(self) -> Format:
        """Format of the file."""
        return find_format(self.format)[1]

    @property
    def is_chosen_by_timing(self) -> bool:
        """True if files of several precisions are timed, and the fastest is kept."""
        return self.precision == FASTEST

    @property
    def calibrates(self) -> bool:
        """True if its images also determine ranges and choices, not only the final comparison."""
        return self.is_chosen_by_timing or self.kind.calibrates(self.precision)


def parse_exports(options: Any, *, quantized: bool) -> Any:
    """Expand a format's name to a format with its options, and the format ``all`` to every format and precision.

    Args:
        options: The files, as a recipe has them.
        quantized: Whether a step trains the network in integers, which limits its precisions.
    """
    parsed = as_tuple(options)
    if not isinstance(parsed, tuple):
        return parsed
    entries = [{"format": each} if isinstance(each, str) else each for each in parsed]
    every = [isinstance(entry, dict) and entry.get("format") == ALL for entry in entries]
    files = [_every_file(entry, quantized) if whole else [entry] for entry, whole in zip(entries, every, strict=True)]
    return tuple(each for some in files for each in some)


def _every_file(options: dict[str, Any], quantized: bool) -> Iterator[dict[str, Any]]:
    wanted, min_psnr_db = options.get("precision", ALL), options.get("min_psnr_db", DEFAULT_MIN_PSNR_DB)
    for name, kind in known_formats().items():
        for precision in kind.precisions if wanted == ALL else {wanted} & set(kind.precisions):
            calibrates = kind.calibrates(precision)
            if quantized and not calibrates and not (kind.stores_trained_integers and precision == "fp32"):
                continue  # the network was trained in integers
            own = {"format": name, "precision": None if precision == "fp32" else precision, "if_installed": True}
            own |= {} if kind.opsets else {"opset": None}
            yield {**options, **own, "min_psnr_db": min_psnr_db if calibrates else DEFAULT_MIN_PSNR_DB}
