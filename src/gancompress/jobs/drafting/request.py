"""Request of a user: a checkpoint, a folder of inputs, a budget and the time to train."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gancompress.errors import ConfigError
from gancompress.io.source import split_key
from gancompress.networks.image_format import Images

DEFAULT_MINUTES = 30.0


@dataclass(frozen=True)
class Request:
    """One command line of ``gancompress compress CHECKPOINT``.

    Attributes:
        checkpoint: File or directory of weights; ``FILE#KEY`` for one of several networks.
        images: Folder of input images.
        data: Other data, instead: ``module:dataset``, a folder of arrays, or data of a recipe in YAML.
        smaller: Times fewer MACs.
        latency_ms: The most milliseconds for one image, instead.
        runtime: Runtime of ``latency_ms``.
        num_bytes: The most bytes of weights, instead.
        minutes: Time to train.
        network: Family, or import path of the class of the network, if the tensors do not identify it.
        config: Options of the family, or arguments of the class.
        like: Family of the student, if it is another architecture than the network's.
        image_range: Range of the network's images; measured by default for a class of the user.
        size: Height and width of the crops, in pixels; chosen by default.
        metrics: Metrics against the teacher's images; PSNR and SSIM by default.
        perceptual: A network as TorchScript or ONNX, for the perceptual distance to the teacher.
        min_psnr_db: Smallest PSNR of a file to the network, for files of less precision.
        seed: Seed of the run.
        out: Run directory; ``runs/NAME`` by default.
    """

    checkpoint: str
    images: str | None = None
    data: str | None = None
    smaller: float | None = None
    latency_ms: float | None = None
    runtime: str | None = None
    num_bytes: float | None = None
    minutes: float = DEFAULT_MINUTES
    network: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    like: str | None = None
    image_range: str | None = None
    size: tuple[int, int] | None = None
    metrics: tuple[str, ...] = ()
    perceptual: str | None = None
    min_psnr_db: float | None = None
    seed: int = 0
    out: Path | None = None

    def __post_init__(self) -> None:
        """Check that the options fit one another. Raises ConfigError."""
        if (self.images is None) == (self.data is None):
            raise ConfigError(
                f"compress: got the checkpoint '{self.checkpoint}' with neither --images nor --data, or both, expected "
                "one of --images FOLDER and --data module:dataset, the inputs of the network"
            )
        if self.data is not None and (self.size or self.image_range):
            given = "--size" if self.size else "--range"
            raise ConfigError(f"{given}: got it with --data, whose items are taken as they are, expected --images")
        if sum(each is not None for each in (self.smaller, self.latency_ms, self.num_bytes)) != 1:
            raise ConfigError(
                "compress: got a checkpoint with no budget or several, expected one of --smaller N (times fewer MACs), "
                "--ms X with --runtime NAME, and --bytes N"
            )
        if (self.latency_ms is None) != (self.runtime is None):
            given, missing = ("--ms", "--runtime NAME") if self.runtime is None else ("--runtime", "--ms X")
            raise ConfigError(f"{given}: got it alone, expected {missing} with it")
        if self.smaller is not None and self.smaller <= 1:
            raise ConfigError(f"--smaller: got {self.smaller:g}, expected more than 1, the times fewer MACs")
        if self.minutes <= 0:
            raise ConfigError(f"--minutes: got {self.minutes:g}, expected more than 0")
        if self.config and self.network is None:
            raise ConfigError("--set: got options without --net, expected --net module:Class, whose arguments they are")
        if self.image_range is not None:
            Images.parse(self.image_range)

    @property
    def name(self) -> str:
        """Name of the job: that of the directory of the run, or of the checkpoint and the budget."""
        if self.out is not None:
            return self.out.resolve().name
        path, key = split_key(self.checkpoint)
        parts = [path.stem, *([key] if key else []), self.target]
        return re.sub(r"[^\w.-]+", "-", "-".join(parts))

    @property
    def target(self) -> str:
        """The budget in short: ``10x``, ``20ms-openvino``, ``500000B``; behind the family of the student, if given."""
        return self._limit if self.like is None else f"{self.like}-{self._limit}"

    @property
    def _limit(self) -> str:
        if self.smaller is not None:
            return f"{self.smaller:g}x"
        if self.latency_ms is not None:
            return f"{self.latency_ms:g}ms-{self.runtime}"
        return f"{self.num_bytes:.0f}B"

    @property
    def directory(self) -> Path:
        """Run directory."""
        return self.out or Path("runs", self.name)

    @property
    def budget(self) -> dict[str, Any]:
        """Budget in a recipe."""
        if self.smaller is not None:
            return {"reduction": _plain(self.smaller)}
        if self.latency_ms is not None:
            return {"latency_ms": _plain(self.latency_ms), "runtime": self.runtime}
        return {"bytes": _plain(self.num_bytes)}

    @property
    def described(self) -> dict[str, Any]:
        """Everything that the recipe depends on, as plain values."""
        values = {name: value for name, value in asdict(self).items() if name != "out"}
        return values | {
            "size": None if self.size is None else list(self.size),
            "metrics": list(self.metrics),
            "config": dict(self.config),
        }

    @property
    def command(self) -> str:
        """Command line that makes this request."""
        options = {
            "--images": self.images,
            "--data": self.data,
            "--smaller": _number(self.smaller),
            "--ms": _number(self.latency_ms),
            "--runtime": self.runtime,
            "--bytes": _number(self.num_bytes),
            "--minutes": _number(self.minutes),
            "--net": self.network,
            "--like": self.like,
            "--range": self.image_range,
            "--size": None if self.size is None else f"{self.size[0]}x{self.size[1]}",
            "--perceptual": self.perceptual,
            "--min-psnr": _number(self.min_psnr_db),
            "--seed": str(self.seed) if self.seed else None,
            "--out": None if self.out is None else str(self.out),
        }
        words = ["gancompress", "compress", self.checkpoint]
        words += [word for name, value in options.items() if value is not None for word in (name, value)]
        words += [word for name, value in self.config.items() for word in ("--set", f"{name}={value}")]
        words += [word for name in self.metrics for word in ("--metric", name)]
        return shlex.join(words)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}" if value < 1e6 else f"{value:.0f}"


def _plain(value: float | None) -> float | int | None:
    """Return a whole number as an integer, as a person writes it."""
    return int(value) if value is not None and float(value).is_integer() else value
