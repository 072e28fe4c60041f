"""How fast networks are on real runtimes, measured so that ratios hold on a noisy machine."""

from gancompress.benchmark.bench import Bench, bench
from gancompress.benchmark.contestants import Contestant, Task, contestants
from gancompress.benchmark.fastest import RUNTIME_OF, Fastest, export_fastest
from gancompress.benchmark.files import time_files
from gancompress.benchmark.runtimes import RUNTIMES, Candidate, available_runtimes
from gancompress.benchmark.statistics import Timing, ratio

__all__ = [
    "RUNTIMES",
    "RUNTIME_OF",
    "Bench",
    "Candidate",
    "Contestant",
    "Fastest",
    "Task",
    "Timing",
    "available_runtimes",
    "bench",
    "contestants",
    "export_fastest",
    "ratio",
    "time_files",
]
