"""The report of a job: records in, one page that a person likes to look at out, with Markdown and JSON beside it."""

from gancompress.report.comparison import TRIED_HEAD, headline_lines, tried_rows
from gancompress.report.data import (
    COMPRESSED,
    FLOAT32,
    TEACHER,
    TO_TEACHER,
    Better,
    Candidate,
    ExportFacts,
    FileSpeed,
    Latency,
    MacFacts,
    MetricValue,
    NetworkFacts,
    RankFacts,
    Report,
    Samples,
    SearchFacts,
    StepFacts,
    TriedFile,
)
from gancompress.report.front import pareto_front
from gancompress.report.grid import sample_grid
from gancompress.report.plots import losses_png
from gancompress.report.tensorboard import TensorBoard
from gancompress.report.write import write_report

__all__ = [
    "COMPRESSED",
    "FLOAT32",
    "TEACHER",
    "TO_TEACHER",
    "TRIED_HEAD",
    "Better",
    "Candidate",
    "ExportFacts",
    "FileSpeed",
    "Latency",
    "MacFacts",
    "MetricValue",
    "NetworkFacts",
    "RankFacts",
    "Report",
    "Samples",
    "SearchFacts",
    "StepFacts",
    "TensorBoard",
    "TriedFile",
    "headline_lines",
    "losses_png",
    "pareto_front",
    "sample_grid",
    "tried_rows",
    "write_report",
]
