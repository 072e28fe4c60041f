"""Networks given as graphs of operators: the form into which readers of foreign graph files translate."""

from gancompress.networks.graph.build import GraphBuilder
from gancompress.networks.graph.network import GraphNetwork

__all__ = ["GraphBuilder", "GraphNetwork"]
