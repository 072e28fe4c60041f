"""Report: records of a job, their comparison in words, and modules that draw and write them.

Records are plain types: importing this package imports neither matplotlib nor Jinja2. `report.write`, `report.plots`,
`report.grid` and `report.tensorboard` are imported only where a page or a picture is made.
"""

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
    "TriedFile",
    "headline_lines",
    "pareto_front",
    "tried_rows",
]
