"""Runtime onnxruntime on the CPU, and ONNX files, with free sizes or of one size."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.cost.measured import evaluation_mode
from gancompress.deploy.axes import Inputs, to_trace
from gancompress.deploy.compute_types import FP16, FP32, INT8
from gancompress.deploy.precision import IntegerForm
from gancompress.deploy.rewrites import FASTER
from gancompress.deploy.rewrites.aligned import slow_in_integers
from gancompress.deploy.runtimes.formats import Conversion, Format, Mode, Usage
from gancompress.deploy.runtimes.integers import kinds_of_layers, move_integers, without_rounding
from gancompress.deploy.runtimes.onnx_file import check_onnx, without_weights, write_onnx
from gancompress.deploy.runtimes.operators import by_class
from gancompress.deploy.runtimes.opsets import OLDEST, OLDEST_EXPORTED, lowered
from gancompress.deploy.runtimes.packages import optional, quiet
from gancompress.deploy.runtimes.registry import register_runtime
from gancompress.deploy.runtimes.runner import Input, Runner
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.deploy.runtimes.small_terms import keep_small_terms
from gancompress.errors import ExportError

_DTYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
    "tensor(int8)": torch.int8,
    "tensor(int32)": torch.int32,
    "tensor(int64)": torch.int64,
    "tensor(uint8)": torch.uint8,
    "tensor(bool)": torch.bool,
}

_LARGE_BYTES = 2**26
_WITHOUT_LAYOUTS = "ORT_ENABLE_EXTENDED"

_INTEGERS = IntegerForm(
    (*FASTER, "odd_transposed_convolutions", "row_shuffles", "aligned_channels"),
    outputs=True,
    moves=True,
    slow=slow_in_integers,
)


@register_runtime
class OnnxRuntime(Runtime):
    """onnxruntime."""

    name = "onnxruntime"
    title = "onnxruntime"
    runs_on = "onnxruntime and whatever reads ONNX"
    package = "onnxruntime"
    writers = ("onnx", "onnxscript")
    extra = "onnx"
    lacks = (r"Could not find an implementation for (?:the node \S+:)?(?P<operator>\w+)\(",)
    formats = (
        Format(
            name="onnx",
            file_name="model.onnx",
            title="ONNX",
            rewrites=FASTER,
            compute_types=(FP32, FP16, INT8),
            integers=_INTEGERS,
            stores_trained_integers=True,
            opsets=True,
        ),
        Format(
            name="onnx_fixed",
            file_name="model.fixed.onnx",
            title="ONNX",
            rewrites=FASTER,
            compute_types=(FP32, FP16, INT8),
            integers=_INTEGERS,
            free_sizes=False,
            opsets=True,
        ),
    )
    modes = (Mode("onnxruntime", "onnxruntime", endings=(".onnx",), format="onnx", layer_format="onnx_fixed"),)

    def convert(self, network: nn.Module, path: Path, how: Conversion) -> str:
        """Write and check one ONNX file with its weights inside."""
        if (opset := how.opset) is not None:
            self.check_opset(opset)
        program = _exported(
            network,
            to_trace(how.inputs, how.axes),
            dynamic_shapes=tuple(dict(axes) for axes in how.axes),
            input_names=list(how.input_names),
            output_names=list(how.output_names) if how.output_names else None,
            opset_version=None if opset is None else max(opset, OLDEST_EXPORTED),
        )
        program.model.metadata_props.update(how.metadata)
        if how.integers:
            move_integers(program.model)
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # these name files of this machine, and may outweigh a small network
        proto, weights = without_weights(program.model)
        if opset is not None and opset < OLDEST_EXPORTED:
            proto = lowered(proto, opset, weights)
        check_onnx(proto, weights)
        write_onnx(proto, weights, path)
        for each in program.model.graph.initializers.values():
            each.const_value = None  # values of the graph live on in the exporter, and would keep the weights
        return f"opset {opset or program.model.opset_imports['']}"

    def check_opset(self, opset: int) -> None:
        """Check an opset by its number, and by running a file of one operator."""
        onnx, onnxruntime = (optional(name, "onnx", "ONNX export") for name in ("onnx", "onnxruntime"))
        if not OLDEST <= opset <= onnx.defs.onnx_opset_version():
            raise ExportError(f"opset: got {opset}, expected {OLDEST} to {onnx.defs.onnx_opset_version()}")
        opened, closed = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
        graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "one", [opened], [closed])
        of_opset = [onnx.helper.make_opsetid("", opset)]
        version = onnx.helper.find_min_ir_version_for(of_opset)
        model = onnx.helper.make_model(graph, opset_imports=of_opset, ir_version=version)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ExportError(
                f"opset: got {opset}, but onnxruntime {onnxruntime.__version__} takes none so new; take an older one"
            ) from error

    def open(self, path: Path, threads: int | None = None, precision: str | None = None) -> Runner:
        """Open an ONNX file."""
        return runner(self.session(path, threads))

    def open_to_compare(self, path: Path, precision: str | None) -> Runner:
        """Open an ONNX file; a large one without the layouts whose weights take three times its size."""
        if path.stat().st_size <= _LARGE_BYTES:
            return super().open_to_compare(path, precision)
        return runner(self.session(path, level=_WITHOUT_LAYOUTS))

    def session(
        self, path: Path, threads: int | None = None, profile: Path | None = None, level: str | None = None
    ) -> Any:
        """Return an `onnxruntime.InferenceSession`.

        Args:
            path: The file.
            threads: Threads of one operator; onnxruntime's own choice by default.
            profile: Beginning of the path of a profile, written at the end; None measures nothing.
            level: Name of an `onnxruntime.GraphOptimizationLevel`; the highest one by default.

        Raises:
            ExportError: onnxruntime is missing, or refuses the file.
        """
        onnxruntime = optional("onnxruntime", "onnx", f"{path}: running it")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised; the log would repeat them
        if threads is not None:
            options.intra_op_num_threads = threads
        if level is not None:
            options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
        try:
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            too_new = "ValidateOpsetForDomain" in str(error)
            reason = "this version takes no opset so new; take an older one" if too_new else self.refusal(error)
            raise ExportError(f"{path}: onnxruntime cannot run the file: {reason}") from error

    def usage(self, file: str, inputs: Mapping[str, str], precision: str, threads: int | None = None) -> Usage:
        """Return Python that runs a file with onnxruntime."""
        named = ", ".join(f'"{name}": {variable}' for name, variable in inputs.items())
        options, given = "", ""
        if threads is not None:
            options = f"options = onnxruntime.SessionOptions()\noptions.intra_op_num_threads = {threads}\n"
            given = ", options"
        return Usage(
            "import numpy\nimport onnxruntime\n\n",
            options + f'session = onnxruntime.InferenceSession("{file}"{given})\n',
            f"(result,) = session.run(None, {{{named}}})\n",
        )

    def write_layers(self, modules: Sequence[nn.Module], inputs: Sequence[Tensor], paths: Sequence[Path]) -> None:
        """Write modules by one run of the exporter, because its start takes longer than a layer."""
        onnx = optional("onnx", "onnx", "ONNX export")
        names = [(f"input_{number}", f"output_{number}") for number in range(len(modules))]
        together = _SideBySide(modules)
        with evaluation_mode(together), torch.no_grad(), quiet():
            program = _exported(
                together,
                tuple(given.clone() for given in inputs),  # one tensor given twice would become one input
                input_names=[given for given, _ in names],
                output_names=[result for _, result in names],
            )
        extractor = onnx.utils.Extractor(program.model_proto)
        for (given, result), path in zip(names, paths, strict=True):
            onnx.save(extractor.extract_model([given], [result]), path)

    def integer_layers(self, path: Path) -> list[tuple[str, ...]]:
        """Return the integer layers of a file by equal weights, strides and groups."""
        return kinds_of_layers(path)

    def with_float_layers(self, path: Path, layers: Collection[str], to: Path) -> None:
        """Write a file again without the rounding of some layers."""
        without_rounding(path, layers, to)

    def profile(self, path: Path, inputs: Inputs, threads: int | None, num_runs: int) -> dict[str, float]:
        """Return milliseconds of a run by class of operator, from onnxruntime's own profile."""
        with TemporaryDirectory() as folder:
            session = self.session(path, threads, Path(folder, "profile"))
            opened = runner(session)
            for _ in range(num_runs):
                opened.run(inputs)
            return by_class(json.loads(Path(session.end_profiling()).read_text()), num_runs)


def _exported(network: nn.Module, inputs: Inputs, **how: Any) -> torch.onnx.ONNXProgram:
    """Return a network as an optimized program of ONNX; ``how`` are arguments of `torch.onnx.export`."""
    program = torch.onnx.export(network, inputs, dynamo=True, verbose=False, optimize=False, **how)
    assert program is not None  # it is None only if the exporter writes the file
    keep_small_terms(program.model)
    program.optimize()
    return program


def runner(session: Any) -> Runner:
    """Return a session as a function.

    Raises:
        ExportError: An input is no tensor of numbers.
    """
    inputs = tuple(
        Input(each.name, tuple(size if isinstance(size, int) else None for size in each.shape), _dtype(each))
        for each in session.get_inputs()
    )

    onnxruntime = optional("onnxruntime", "onnx", "running an ONNX file")
    freeing = onnxruntime.RunOptions()
    freeing.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    before: list[tuple[torch.Size, ...]] = []

    def run(values: tuple[Tensor, ...]) -> list[Tensor]:
        arrays = {given.name: tensor.detach().cpu().numpy() for given, tensor in zip(inputs, values, strict=True)}
        shapes = tuple(tensor.shape for tensor in values)
        # The runtime keeps the memory of every size that it has run on; it gives it back when the size changes.
        options = None if before == [shapes] else freeing
        before[:] = [shapes]
        return [torch.from_numpy(array) for array in session.run(None, arrays, options)]

    return Runner(run, session.get_modelmeta().custom_metadata_map, inputs)


def _dtype(given: Any) -> torch.dtype:
    if given.type not in _DTYPES:
        raise ExportError(f"input {given.name}: got {given.type}, expected one of {', '.join(_DTYPES)}")
    return _DTYPES[given.type]


class _SideBySide(nn.Module):
    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.each = nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """Run each module on its own input."""
        return [module(given) for module, given in zip(self.each, inputs, strict=True)]
