"""Benchmark of networks on real runtimes, measured in turns so that ratios hold on a noisy machine."""

from gancompress.deploy.benchmark.bench import Bench, bench
from gancompress.deploy.benchmark.contestants import Contestant, Task, contestants
from gancompress.deploy.benchmark.fastest import Fastest, export_fastest, timed_formats
from gancompress.deploy.benchmark.files import time_files
from gancompress.deploy.benchmark.runtimes import Candidate, available_runtimes
from gancompress.deploy.benchmark.statistics import Timing, ratio

__all__ = [
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
    "timed_formats",
]
