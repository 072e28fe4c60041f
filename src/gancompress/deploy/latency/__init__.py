"""Latency of channel plans on a runtime: measured layers, a fitted model, and whole networks."""

from gancompress.deploy.latency.device import Target, latency_modes
from gancompress.deploy.latency.learn import learn_latency
from gancompress.deploy.latency.measuring import measure_network
from gancompress.deploy.latency.model import LatencyModel, ModelError
from gancompress.deploy.latency.ranking import Ranked, rank
from gancompress.deploy.latency.table import LatencyTable
from gancompress.deploy.latency.variants import Variants, variants_of_graph, variants_of_space

__all__ = [
    "LatencyModel",
    "LatencyTable",
    "ModelError",
    "Ranked",
    "Target",
    "Variants",
    "latency_modes",
    "learn_latency",
    "measure_network",
    "rank",
    "variants_of_graph",
    "variants_of_space",
]
