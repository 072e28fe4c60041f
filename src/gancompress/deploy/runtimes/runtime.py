"""Interface of a runtime: the files that it writes and runs, and the modes in which it is timed.

A runtime is one class in one file. Exporting, loading, timing and describing files all read it from here, through
`gancompress.deploy.runtimes.registry`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import torch
from torch import Tensor, nn

from gancompress.cost.measured import evaluation_mode
from gancompress.deploy.axes import Inputs, names_and_axes, one_larger_axis_each
from gancompress.deploy.file_options import DEFAULT_OPTIONS, FileOptions
from gancompress.deploy.files import disk_bytes, draft_folder_of, draft_of
from gancompress.deploy.memory import give_back_memory
from gancompress.deploy.named import NamedNetwork
from gancompress.deploy.parity import DEFAULT_TOLERANCE, ExportReport, compare
from gancompress.deploy.runtimes.formats import Conversion, Format, Mode, Usage
from gancompress.deploy.runtimes.lacking import refusal
from gancompress.deploy.runtimes.packages import optional, quiet
from gancompress.deploy.runtimes.runner import Runner
from gancompress.deploy.runtimes.timed import InProcess, Timed, resident_bytes
from gancompress.errors import ExportError


class Runtime:
    """Runtime of networks. Subclasses set the attributes, and define `convert` and `open`; other methods have defaults.

    Attributes:
        name: Its name.
        title: Its name in messages, reports and tables.
        runs_on: Systems or programs that run its files, for tables; its title by default.
        formats: Formats of its files, the usual one first.
        modes: Ways to run networks and files; one by default, which has the runtime's name.
        package: The package that runs files, beyond the requirements of gancompress; "" if there is none.
        writers: Packages that write files, in addition to ``package``.
        extra: The extra of gancompress that installs them; "" names the packages themselves.
        refuses_plainly: Whether the messages of its converter are for users; otherwise they are replaced where a
            network fits one size alone.
        lacks: Regular expressions that find ``operator`` in an error of the runtime about an operator it lacks.
        renamed: Operator names of this runtime, and the ONNX names of the same.
        runs_code: True if opening a file can run any code, as opposed to operators on tensors.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    runs_on: ClassVar[str] = ""
    formats: ClassVar[tuple[Format, ...]] = ()
    modes: ClassVar[tuple[Mode, ...]] = ()
    package: ClassVar[str] = ""
    writers: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    refuses_plainly: ClassVar[bool] = False
    lacks: ClassVar[tuple[str, ...]] = ()
    renamed: ClassVar[Mapping[str, str]] = {}
    runs_code: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        """Give a runtime with formats and no modes one mode of the runtime's name."""
        if "formats" in vars(cls) and "modes" not in vars(cls):
            cls.modes = _usual_modes(cls)

    @property
    def endings(self) -> tuple[str, ...]:
        """Endings of the files that it opens."""
        return tuple(dict.fromkeys(each.ending for each in self.formats if not each.page))

    def convert(self, network: nn.Module, path: Path, how: Conversion) -> str | None:
        """Write a file. `write` calls it and compares the file; any error becomes an `ExportError`.

        Args:
            network: In evaluation mode, without gradients.
            path: The file, or for a folder format the folder, to write.
            how: Inputs, names, free axes, metadata and precision.

        Returns:
            A note about the file, such as "opset 18"; None for none.
        """
        raise NotImplementedError

    def open(self, path: Path, threads: int | None = None, precision: str | None = None) -> Runner:
        """Open a file.

        Args:
            path: The file.
            threads: Number of threads; the runtime's own choice by default.
            precision: Precision of float layers, one of those of `modes`; by default that of the export.

        Raises:
            ExportError: The runtime is missing, or refuses the file.
        """
        raise NotImplementedError

    def open_to_compare(self, path: Path, precision: str | None) -> Runner:
        """Open a file to compare it; by default as `open` does."""
        return self.open(path, precision=precision)

    def usage(self, file: str, inputs: Mapping[str, str], precision: str, threads: int | None = None) -> Usage:
        """Return Python that runs a file; by default with `gancompress.load`.

        Args:
            file: Its name.
            inputs: The variable of each input, by the input's name, in order.
            precision: Precision that the file computes in.
            threads: Number of threads; the runtime's own choice by default.
        """
        with_threads = "" if threads is None else f", threads={threads}"
        return Usage(
            "import gancompress\nimport numpy\n\n",
            f'network = gancompress.load("{file}"{with_threads})\n',
            f"result = network({', '.join(inputs.values())})\n",
        )

    def not_here(self) -> str | None:
        """Return the reason that machines like this one cannot run its files; None if this one can."""
        return None

    def missing_package(self, *, to_write: bool = False) -> str | None:
        """Return the end of a message that names a missing package; None if none is missing.

        Args:
            to_write: Also check the packages that write files.
        """
        needed = (*(self.writers if to_write else ()), self.package)
        missing = next((each for each in needed if each and find_spec(each) is None), None)
        return missing and f"needs the package {missing}: pip install {self._installs(missing)}"

    def unavailable(self, mode: Mode) -> str | None:
        """Return the reason that a mode cannot run on this machine; None if it can."""
        return self.missing_package() or self.not_here()

    def version(self) -> str:
        """Return the version of the package that runs files."""
        return version(self.package or "gancompress")

    def refusal(self, error: BaseException) -> str:
        """Format an error of the runtime as one line; for an operator that it lacks, with the rewrite that helps."""
        return refusal(error, self.lacks, self.renamed)

    def write(
        self,
        make: Callable[[], nn.Module],
        example_inputs: Inputs,
        path: Path,
        format: Format,
        options: FileOptions = DEFAULT_OPTIONS,
    ) -> ExportReport:
        """Write a module as a file once the runtime agrees with eager; see `gancompress.deploy.export_module`.

        Args:
            make: Returns the module, which is not kept during the comparison if the options have a reference.
            example_inputs: Its positional arguments.
            path: The file.
            format: Its format.
            options: Options of the file.
        """
        title = format.title or self.title
        self.require(f"{title} export", to_write=True)
        reference = options.reference or make()
        what = f"{title} export of {type(reference).__name__}"
        self._check(path, format, options, what)
        how = self._conversion(format, example_inputs, options, reference)
        tolerance = options.tolerance
        larger = options.other_inputs
        others = one_larger_axis_each(example_inputs, how.axes) if larger is None else larger
        draft_path = draft_folder_of(path, what) if format.folder else draft_of(path, f"{title} export", format.beside)
        with evaluation_mode(reference), torch.no_grad(), draft_path as draft:
            note, not_compared, cases = None, self.not_here(), ()
            converted = False
            try:
                note = self._converted(make(), draft, how, what)
                converted = True
                give_back_memory(reference)
                if not_compared is None:
                    run = self.open_to_compare(draft, options.precision).run
                    first = compare(reference, run, example_inputs, tolerance, what, options.mean_tolerance)
                    cases = (first, *(compare(reference, run, case, tolerance, what) for case in others))
                    if options.accept is not None:
                        options.accept(run)
            except ExportError as error:
                hints = any(how.axes) and not self.refuses_plainly
                instead = self._of_one_size(make, how, options, what) if hints else None
                if instead is None:
                    raise
                alone = f"{what}: got a network of the batch or size of its inputs alone, expected free ones"
                raise ExportError(f"{error if converted else alone}; one size works: take {instead}") from error
        return ExportReport(
            path=path,
            format=format.name,
            file_bytes=disk_bytes(path, format.beside),
            cases=cases,
            not_compared=not_compared,
            note=note,
        )

    def require(self, what: str, *, to_write: bool = False) -> None:
        """Check that the packages that run files can be imported.

        Args:
            what: Beginning of the message.
            to_write: Also require the packages that write files.

        Raises:
            ExportError: A package cannot be imported.
        """
        for package in (*(self.writers if to_write else ()), self.package):
            if package:
                optional(package, self.extra, what)

    def check_opset(self, opset: int) -> None:
        """Check that files of this opset of ONNX can be written and run here, for formats that have opsets.

        Raises:
            ExportError: They cannot, or a package is missing.
        """
        raise NotImplementedError

    def write_layers(self, modules: Sequence[nn.Module], inputs: Sequence[Tensor], paths: Sequence[Path]) -> None:
        """Write modules from one tensor to one for timing, unchanged; by default one after the other.

        Args:
            modules: The modules.
            inputs: The input of each; sizes are not free.
            paths: The file of each.
        """
        for module, given, path in zip(modules, inputs, paths, strict=True):
            with evaluation_mode(module), torch.no_grad(), quiet():
                fixed = Conversion(
                    self.formats[0], (given,), ["input"], [{}], None, {}, "fp32", False, module, DEFAULT_TOLERANCE
                )
                self.convert(module, path, fixed)

    def integer_layers(self, path: Path) -> list[tuple[str, ...]]:
        """Return the integer layers of a file, grouped by equal time; empty if unknown."""
        return []

    def with_float_layers(self, path: Path, layers: Collection[str], to: Path) -> None:
        """Write a file again with some of its `integer_layers` in float, for timing."""
        raise NotImplementedError

    def prepare(self, network: NamedNetwork, folder: Path, say: Callable[[str], None]) -> Path | None:
        """Write the file that modes of this runtime open, and return its path; None if it is in one of its formats.

        Args:
            network: The network.
            folder: Folder for the file.
            say: Reports progress.
        """
        return None

    def opened(self, mode: Mode, path: Path, threads: int | None) -> Runner:
        """Open a file in a mode, or a saved generator if the mode runs networks."""
        return self.open(path, threads, mode.precision)

    def timed(self, mode: Mode, path: Path, inputs: Inputs, threads: int | None) -> AbstractContextManager[Timed]:
        """Prepare a file, or a saved generator, to be timed in this process.

        Raises:
            ExportError: The runtime is missing, or refuses it.
        """
        return InProcess(
            self.opened(mode, path, threads).run,
            inputs,
            profile=lambda num_runs: self.profile(path, inputs, threads, num_runs),
            peak_bytes=lambda before: self.peak_bytes(mode, before),
            elsewhere=mode.elsewhere,
        )

    def profile(self, path: Path, inputs: Inputs, threads: int | None, num_runs: int) -> dict[str, float] | None:
        """Return milliseconds of a run by class of operator; None if the runtime has no profile."""
        return None

    def peak_bytes(self, mode: Mode, before: int | None) -> int | None:
        """Return peak memory of this process above ``before``; None if unknown."""
        peak = resident_bytes("VmHWM")
        return None if peak is None or before is None else peak - before

    def _of_one_size(
        self, make: Callable[[], nn.Module], how: Conversion, options: FileOptions, what: str
    ) -> str | None:
        """Return words for a format without free sizes, if a network that was refused with them is taken without."""
        fixed = next((each for each in self.formats if not each.free_sizes and each.ending == how.format.ending), None)
        with TemporaryDirectory() as folder:
            try:
                if fixed is not None:
                    self.write(make, how.inputs, Path(folder, fixed.file_name), fixed, options)
                    return f"the format '{fixed.name}'"
                bound = replace(how, axes=[{} for _ in how.axes])
                self._converted(make(), Path(folder, how.format.file_name), bound, what)
            except ExportError:
                return None
        return "a format of one size, such as 'onnx_fixed', or inputs of another size (--size)"

    def _check(self, path: Path, format: Format, options: FileOptions, what: str) -> None:
        if format.strict_ending and path.suffix != format.ending:
            raise ExportError(
                f"{what}: got {path}, expected a name that ends in {format.ending}: {self.title} opens no other"
            )
        if options.opset is not None and not format.opsets:
            raise ExportError(
                f"{what}: got opset {options.opset} for the format '{format.name}', expected none, because only ONNX "
                "has opsets"
            )

    def _conversion(
        self, format: Format, example_inputs: Inputs, options: FileOptions, reference: nn.Module
    ) -> Conversion:
        """Return the arguments of `convert`, with a name and free axes for every input."""
        names, axes = names_and_axes(example_inputs, options.input_names, options.dynamic)
        if not len(axes) == len(names) == len(example_inputs):
            raise ExportError(
                f"{format.title or self.title} export: got {len(example_inputs)} inputs, {len(names)} input_names and "
                f"{len(axes)} entries of dynamic; expected one name and one mapping of axes for each input"
            )
        return Conversion(
            format,
            tuple(each.contiguous() for each in example_inputs),  # Core ML refuses other orders in memory
            names,
            axes if format.free_sizes else [{} for _ in example_inputs],
            options.output_names,
            {**options.metadata, **_outputs_text(options.output_names)},
            options.precision,
            options.integers,
            reference,
            options.tolerance,
            options.opset,
        )

    def _converted(self, network: nn.Module, path: Path, how: Conversion, what: str) -> str | None:
        try:
            with evaluation_mode(network), quiet():
                return self.convert(network, path, how)
        except (OSError, ExportError):
            raise  # `draft_of` reports a full disk
        except Exception as error:
            raise ExportError(f"{what} failed: {self.refusal(error)}") from error

    def _installs(self, package: str) -> str:
        return f"'gancompress[{self.extra}]'" if self.extra else package


def _outputs_text(names: Sequence[str] | None) -> dict[str, str]:
    """Return the metadata that names several outputs."""
    return {"outputs": json.dumps(list(names))} if names and len(names) > 1 else {}


def _usual_modes(kind: type[Runtime]) -> tuple[Mode, ...]:
    files = [each for each in kind.formats if not each.page]
    if not files:
        return ()
    first, fixed = files[0], next((each for each in files if not each.free_sizes), files[0])
    endings = tuple(dict.fromkeys(each.ending for each in files))
    batch = None if first.free_sizes else 1
    return (Mode(kind.name, kind.title, endings=endings, format=first.name, layer_format=fixed.name, max_batch=batch),)
