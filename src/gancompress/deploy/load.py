"""Loading of any network that this package knows, from any kind of file, as one function on images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gancompress.deploy.axes import Inputs, output_names
from gancompress.deploy.contract import contract_of, from_text
from gancompress.deploy.frames import run_frames
from gancompress.deploy.input_contract import InputContract
from gancompress.deploy.reading import InputReader
from gancompress.deploy.runtimes.registry import check_precision, check_runs_code, open_file, runtime_of
from gancompress.deploy.runtimes.runner import Runner
from gancompress.deploy.runtimes.torch_runtime import eager
from gancompress.deploy.tiles import Overlap, TilePlan, Tiles, choose_tiles, known_locality, probe_locality, run_tiles
from gancompress.errors import CheckpointError, ConfigError
from gancompress.io.pictures import from_standard, read_picture, to_standard
from gancompress.io.source import split_key
from gancompress.networks.importers import load_generator
from gancompress.networks.locality import Locality
from gancompress.networks.outputs import image_of, named_outputs
from gancompress.quantization import Quantization

Images = TypeVar("Images", Tensor, np.ndarray, Image.Image)


class Loaded:
    """Network as a function on images, label maps or noise.

    Attributes:
        contract: Contract in the file: layout, range, channels, colour order, sizes; empty if it has none.
    """

    def __init__(
        self,
        path: Path,
        runner: Runner,
        contract: Mapping[str, Any],
        by_name: Callable[[Inputs], dict[str, Tensor]] | None = None,
        locality: Callable[[], Locality | None] | None = None,
    ) -> None:
        """Store the runner of a network; call `load` instead."""
        self.contract = contract
        self._by_name = by_name or self._named_by_contract
        self._path, self._runner = path, runner
        self._takes = InputContract(path, contract, runner.inputs)
        self._reader = InputReader(path, contract, runner.inputs)
        self._measure = locality or self._locality_of_file

    @overload
    def __call__(
        self,
        images: Images,
        *others: Tensor | np.ndarray | Image.Image,
        tiles: Tiles = "auto",
        overlap: Overlap = None,
        progress: bool = True,
    ) -> Images: ...

    @overload
    def __call__(
        self, images: str | Path, *, tiles: Tiles = "auto", overlap: Overlap = None, progress: bool = True
    ) -> Image.Image: ...

    def __call__(
        self, images: Any, *others: Any, tiles: Tiles = "auto", overlap: Overlap = None, progress: bool = True
    ) -> Any:
        """Run the network.

        Args:
            images: The first input. For a network of images, one of three kinds: a float tensor or array, in layout
                and range of the contract, such as [b, 3, h, w] in [-1, 1], RGB; an array of uint8, uint16 or bool,
                [h, w], [h, w, c] or [b, h, w, c]; a `PIL.Image.Image` of any mode, or the path of a picture. The last
                two become what the network takes by the rules of `gancompress.io.pictures`. For a network of label
                maps: integers [b, h, w], in an array [h, w] too, or a `PIL.Image.Image` whose pixels are labels. Noise:
                floats [b, c].
            others: Further inputs of the network, in its order: instance edges ([b, h, w], like the labels, 0 or
                not), noise maps, or the like.
            tiles: Side of the tiles, in pixels of the input, by which a large image is run in bounded memory. By
                default a network of one image is run by tiles if the image has more than 512x512 pixels or is of a
                size that the file does not take, and if the network is local; None runs every image whole.
            overlap: Pixels by which tiles overlap to each side. By default as many as the network looks, by which the
                result is that of the whole image, but for float rounding; fewer are faster and leave seams.
            progress: Whether to show a bar for more than one tile, if the standard error is a terminal.

        Returns:
            The image or images of the network, of the same kind: tensors and float arrays channels first, unchanged;
            for integer arrays bytes, channels last; for a path a `PIL.Image.Image`.

        Raises:
            ConfigError: The inputs are of another kind or number, or have other channels than the network takes; or
                tiles were asked for, and the network is not local, takes several inputs or returns several outputs, or
                they are too small.
            DataError: There is no such picture, or an input lies outside the range of the network or of its mode.
            InputSizeError: The network cannot take images of this size.
        """
        if isinstance(images, str | Path):
            images = read_picture(Path(images))
        values = self._reader.read(images, others)
        floats = isinstance(images, Tensor) or (
            isinstance(images, np.ndarray) and np.issubdtype(images.dtype, np.floating)
        )

        def run(values: Inputs) -> Tensor:
            result = image_of(self._named(values)).float()
            return result if floats else torch.from_numpy(from_standard(result)).movedim(-1, 1)

        plan = self._tiles(values, tiles, overlap)
        if plan is None:
            return self._reader.like(images, run(values))
        by_tiles = run_tiles(self._path, lambda tile: run((tile,)), values[0], plan, progress)
        return self._reader.like(images, by_tiles)

    def outputs(self, images: Tensor | np.ndarray | Image.Image | str | Path, *others: Any) -> dict[str, Tensor]:
        """Run the network and return all its outputs by name, as tensors in its range.

        Args:
            images: The first input, as in a call.
            others: Further inputs, as in a call.

        Raises:
            GanCompressError: As a call does.
        """
        if isinstance(images, str | Path):
            images = read_picture(Path(images))
        return self._named(self._reader.read(images, others))

    def frames(
        self,
        source: str | Path | Iterable[Any],
        *,
        tiles: Tiles = "auto",
        overlap: Overlap = None,
        batch: int = 1,
    ) -> Iterator[Any]:
        """Run the network on each frame of a video, in order, holding no more than a batch of them.

        Args:
            source: The path of a video (needs the package ``av``) or of a folder of pictures, in the order of their
                names; or any iterable of images, each as the first input of a call.
            tiles: As in a call.
            overlap: As in a call.
            batch: Number of frames of the same kind and size that are run at once. More than one pays on GPUs, and
                for small frames; a file of a fixed batch takes 1.

        Yields:
            The image of each frame, of the same kind as the frame; of a path a `PIL.Image.Image`.

        Raises:
            ConfigError: The package ``av`` is missing, ``batch`` is no positive integer, or as in a call.
            DataError: There is no such file, or it holds no video.
        """
        yield from run_frames(self._path, self, source, batch, tiles=tiles, overlap=overlap, progress=False)

    def _tiles(self, values: Inputs, tiles: Tiles, overlap: Overlap) -> TilePlan | None:
        """Return the tiles of the first input; None to run it whole."""
        first, known = values[0], self._runner.inputs
        alone = len(values) == 1 and len(known) <= 1 and first.dim() == 4
        outputs = self.contract.get("outputs", ())
        if not alone or len(outputs) > 1:
            if tiles in ("auto", None):
                return None
            got = f"outputs {', '.join(outputs)}" if alone else f"inputs of {len(values)} tensors, or no images"
            raise ConfigError(
                f"{self._path}: got tiles for a network of {got}, expected one image in and one out; run it whole "
                "(tiles=None, --tiles none)"
            )
        sizes = known[0].shape[2:] if known and len(known[0].shape) == 4 else (None, None)
        fixed = None if None in sizes else (int(sizes[0] or 0), int(sizes[1] or 0))
        size, multiple = (first.shape[2], first.shape[3]), self.contract.get("size_multiple_px", 1)
        return choose_tiles(self._path, size, fixed, tiles, overlap, lambda: self._locality, multiple)

    @cached_property
    def _locality(self) -> Locality | None:
        return self._measure()

    def _locality_of_file(self) -> Locality | None:
        """Return the locality that the file states, or else what a probe of it finds."""
        if "tiles" in self.contract:
            return known_locality(self._path, self.contract["tiles"])
        (given,) = self._runner.inputs
        channels, fixed = given.shape[1] or self.contract.get("channels", 3), given.shape[2:]
        size = None if None in fixed else (int(fixed[0] or 0), int(fixed[1] or 0))
        return probe_locality(lambda images: image_of(self._named((images,))), int(channels), size)

    def _named(self, values: Inputs) -> dict[str, Tensor]:
        """Return all outputs by name; pixels of the inputs become floats in [-1, 1]."""
        values = tuple(
            to_standard(each.movedim(1, -1).numpy()) if each.dtype == torch.uint8 and each.dim() == 4 else each
            for each in values
        )
        self._takes.check(values)
        inputs = self._runner.inputs
        typed = (
            tuple(tensor.to(known.dtype) for tensor, known in zip(values, inputs, strict=True)) if inputs else values
        )
        return self._by_name(typed)

    def _named_by_contract(self, values: Inputs) -> dict[str, Tensor]:
        results = self._runner.run(values)
        return dict(zip(self.contract.get("outputs") or output_names(len(results)), results, strict=True))


def load(path: Path | str, *, threads: int | None = None, precision: str | None = None, trust: bool = False) -> Loaded:
    """Load a network that is ready to run: ``gancompress.load("model.onnx")(image)``.

    Args:
        path: A run directory, a directory or checkpoint of weights (PyTorch eager), or an exported file, whose ending
            determines its runtime: ``.onnx``, ``.xml`` (OpenVINO), ``.mlpackage`` (Core ML), ``.tflite`` (LiteRT),
            ``.pt2`` (a torch.export program), or one of a runtime of your own (`gancompress.deploy.register_runtime`).
            Only the weights of checkpoints are read, and no code in them runs; other files are operators, which their
            runtimes compute. The contract of a Core ML package can be read anywhere; it runs on macOS.
        threads: Number of threads of the file's runtime; PyTorch has `torch.set_num_threads`.
        precision: Precision of float layers, such as ``bf16`` on OpenVINO; by default that of the export.
        trust: Consent to run code: of the class that a directory names, if it is no registered family, and of ``.pt2``.

    Raises:
        TrustError: The directory names such a class, or the file can hold any code, without consent.
        CheckpointError: There is no such file, or it fits no network.
        ConfigError: The runtime of this file does not compute in this precision.
        ExportError: The runtime is missing, or refuses the file.
    """
    source, path = path, split_key(path)[0]
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or directory, expected a network to load")
    if runtime_of(path) is not None:
        check_runs_code(path, trust)
        runner = open_file(path, threads, precision)
        return Loaded(path, runner, from_text(runner.metadata))
    check_precision(path, None, precision)
    generator, quantization = load_generator(source, trust=trust), Quantization.load(path)
    network = generator.build()
    if quantization is not None:
        quantization.attach(network)

    @torch.inference_mode()
    def by_name(values: Inputs) -> dict[str, Tensor]:
        return named_outputs(network(*values))

    channels = generator.architecture.in_channels or 3
    return Loaded(path, eager(network), contract_of(generator), by_name, lambda: generator.locality(channels))
