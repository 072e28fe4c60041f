"""How fast networks are on real runtimes, measured so that ratios hold on a noisy machine."""

from gancompress.benchmark.bench import Bench, Network, bench
from gancompress.benchmark.contestants import RUNTIMES, Contestant, Task, available_runtimes
from gancompress.benchmark.plot import draw
from gancompress.benchmark.statistics import Timing

__all__ = ["RUNTIMES", "Bench", "Contestant", "Network", "Task", "Timing", "available_runtimes", "bench", "draw"]
