"""How fast networks are on real runtimes, measured so that ratios hold on a noisy machine."""

from gancompress.benchmark.bench import Bench, Network, bench
from gancompress.benchmark.contestants import RUNTIMES, available_runtimes
from gancompress.benchmark.plot import draw
from gancompress.benchmark.statistics import Timing

__all__ = ["RUNTIMES", "Bench", "Network", "Timing", "available_runtimes", "bench", "draw"]
