"""Benchmark of networks on real runtimes, measured in turns so that ratios hold on a noisy machine."""

from gancompress.deploy.benchmark.bench import Bench, bench
from gancompress.deploy.benchmark.fastest import FASTEST, Fastest, export_fastest, timed_formats
from gancompress.deploy.benchmark.files import time_files
from gancompress.deploy.benchmark.runtimes import Candidate, available_runtimes
from gancompress.deploy.benchmark.statistics import Timing, ratio
from gancompress.deploy.benchmark.workers import Task, Worker, workers

__all__ = [
    "FASTEST",
    "Bench",
    "Candidate",
    "Fastest",
    "Task",
    "Timing",
    "Worker",
    "available_runtimes",
    "bench",
    "export_fastest",
    "ratio",
    "time_files",
    "timed_formats",
    "workers",
]
