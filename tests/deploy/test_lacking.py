"""An operator that a runtime lacks is named, with the rewrite that does without it."""

import pytest

import gancompress
from gancompress.deploy.rewrites import REWRITES
from gancompress.deploy.runtimes import lacking
from gancompress.deploy.runtimes.litert_runtime import LiteRt
from gancompress.errors import ExportError

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize(
    ("operator", "inputs", "advice"),
    [
        ("InstanceNormalization", 3, "export with the rewrite decomposed_norms, which does without"),
        ("Hardmax", 1, "take another format or runtime"),
    ],
)
def test_an_operator_without_a_kernel(operator, inputs, advice, tmp_path):
    kind = onnx.TensorProto.DOUBLE
    shapes = [[1, 2, 4, 4], [2], [2]][:inputs]
    given = [onnx.helper.make_tensor_value_info(f"x{i}", kind, shape) for i, shape in enumerate(shapes)]
    node = onnx.helper.make_node(operator, [each.name for each in given], ["y"])
    result = onnx.helper.make_tensor_value_info("y", kind, shapes[0])
    graph = onnx.helper.make_graph([node], "net", given, [result])
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "net.onnx")
    with pytest.raises(ExportError, match=rf"it lacks the operator {operator}; {advice}$"):
        gancompress.load(tmp_path / "net.onnx")


def test_a_transposed_convolution_that_litert_cannot_take():
    said = ValueError(
        "Failed to run converter passes: conv.py:1198:0: error: failed to legalize operation 'mhlo.convolution' that "
        'was explicitly marked illegal: %4 = "mhlo.convolution"(%1, %3) <{batch_group_count = 1 : i64}>'
    )
    assert LiteRt().refusal(said) == (
        "it lacks the operator ConvTranspose; export with the rewrite even_transposed_convolutions and "
        "odd_transposed_convolutions, which does without"
    )


def test_every_rewrite_that_is_advised_exists():
    assert {name for advice in lacking._WITHOUT.values() for name in advice.split(" and ")} <= set(REWRITES)
