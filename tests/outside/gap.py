"""A metric: the mean absolute difference of each pair, and the same as a plain function."""

from torch import Tensor

from gancompress.evaluation import PairMetric, register_metric


def gap(images: Tensor, targets: Tensor) -> Tensor:
    return (images - targets).abs().mean((1, 2, 3))


register_metric("gap")(PairMetric(lambda *_: gap, "lower", "mean absolute difference"))
