"""Report: records of a job, their comparison in words, and modules that draw and write them.

Records are plain types: importing this package imports neither matplotlib nor Jinja2. `report.write`, `report.plots`,
`report.grid` and `report.tensorboard` are imported only where a page or a picture is made.
"""

from gancompress.report.comparison import headline_lines
from gancompress.report.data import (
    COMPRESSED,
    FLOAT32,
    TEACHER,
    TO_TEACHER,
    Better,
    Candidate,
    ExportFacts,
    FileRow,
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
)
from gancompress.report.files import (
    THAN_FLOAT32,
    THAN_ORIGINAL,
    FileTable,
    fastest_row,
    file_table,
    report_files,
    with_best,
)
from gancompress.report.front import pareto_front

__all__ = [
    "COMPRESSED",
    "FLOAT32",
    "TEACHER",
    "THAN_FLOAT32",
    "THAN_ORIGINAL",
    "TO_TEACHER",
    "Better",
    "Candidate",
    "ExportFacts",
    "FileRow",
    "FileSpeed",
    "FileTable",
    "Latency",
    "MacFacts",
    "MetricValue",
    "NetworkFacts",
    "RankFacts",
    "Report",
    "Samples",
    "SearchFacts",
    "StepFacts",
    "fastest_row",
    "file_table",
    "headline_lines",
    "pareto_front",
    "report_files",
    "with_best",
]
