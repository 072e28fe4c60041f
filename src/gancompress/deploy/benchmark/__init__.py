"""Benchmark of networks on real runtimes, measured in turns so that ratios hold on a noisy machine."""

from gancompress.deploy.benchmark.bench import Bench, bench
from gancompress.deploy.benchmark.fastest import FASTEST, Fastest, export_fastest, timed_formats
from gancompress.deploy.benchmark.files import time_files
from gancompress.deploy.benchmark.runtimes import Candidate, available_runtimes
from gancompress.deploy.benchmark.statistics import Timing, ratio
from gancompress.deploy.benchmark.workers import Task, Worker, workers
from gancompress.deploy.benchmark.writing import ALL, FileRequest, Written, every_file, rows_of, write_file, write_files

__all__ = [
    "ALL",
    "FASTEST",
    "Bench",
    "Candidate",
    "Fastest",
    "FileRequest",
    "Task",
    "Timing",
    "Worker",
    "Written",
    "available_runtimes",
    "bench",
    "every_file",
    "export_fastest",
    "ratio",
    "rows_of",
    "time_files",
    "timed_formats",
    "workers",
    "write_file",
    "write_files",
]
