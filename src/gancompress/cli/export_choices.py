"""Options of ``export``: the files they ask for, and those that do not go together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExportChoices:
    """Options of the verb, as given.

    Attributes:
        formats: Names of formats; "all" for every one.
        precisions: Names of precisions; "all" for every one of a format.
        out: The file, or with several the folder.
        rewrites: Names of rewrites; None for the default.
        calibration: Folder of images.
        min_psnr_db: Required closeness; None for the default.
        threads: Threads of the runtime.
        size: Height and width.
        opset: Opset of ONNX; None for the default.
    """

    formats: list[str]
    precisions: list[str]
    out: Path | None
    rewrites: list[str] | None
    calibration: Path | None
    min_psnr_db: float | None
    threads: int | None
    size: str | None
    opset: int | None = None

    @property
    def several(self) -> bool:
        """True if a table of files is asked for, instead of one file."""
        return max(len(self.formats), len(self.precisions)) > 1 or "all" in (*self.formats, *self.precisions)

    @property
    def wanted_precisions(self) -> list[str]:
        """Names of precisions; every one by default where several formats are named."""
        return self.precisions or ["all"]

    @property
    def calibrates(self) -> bool:
        """True if integers may be calibrated, or images decide on the fastest file."""
        from gancompress.deploy import find_format

        if self.several:
            return bool({"all", "int8", "fastest"} & set(self.wanted_precisions))
        return self.precisions == ["fastest"] or any(
            find_format(self.formats[0])[1].calibrates(each) for each in self.precisions
        )

    def check(self, *, has_run: bool) -> None:
        """Check options that do not go together, before anything is opened.

        Args:
            has_run: Whether the source is a run directory, whose own images calibrate.

        Raises:
            ConfigError: The message names the option.
            ExportError: A format has no such precision, or is a page; or no file of the opset can be written or run.
        """
        from gancompress.deploy import find_compute_type, find_format
        from gancompress.errors import ConfigError, ExportError

        kinds = {name: find_format(name, "--format")[1] for name in self.formats if name != "all"}
        if self.several and (page := next((name for name, kind in kinds.items() if kind.page), None)):
            raise ExportError(f"--format: got '{page}' among several, which is a page; export it alone")
        if not self.several:
            for name, precision in ((n, p) for n in kinds for p in self.precisions if p != "fastest"):
                find_compute_type(kinds[name], precision, "--precision")
        if self.rewrites is not None and (self.several or "fastest" in self.precisions):
            got = "several files" if self.several else "--precision fastest"
            raise ConfigError(f"--rewrite: got rewrites with {got}, which chooses them itself; remove it")
        if self.min_psnr_db is not None and not self.calibrates:
            raise ConfigError("--min-psnr: got it without --precision int8 or fastest, expected one of the two")
        if self.threads is not None and not self.several and self.precisions != ["fastest"]:
            raise ConfigError(
                "--threads: got it without --precision fastest, expected that; no other precision is timed"
            )
        if self.calibrates and has_run and self.calibration is None and self.size is not None:
            raise ConfigError(
                f"--size: got {self.size} with the run's own images, expected their size; remove --size, or give "
                "--calibration"
            )
        if self.opset is not None:
            self._check_opset(self.opset)
        if self.several and self.out is not None and self.out.is_file():
            raise ConfigError(f"--out: got the file {self.out} for several files, expected a folder")

    def _check_opset(self, opset: int) -> None:
        from gancompress.deploy import find_format, known_formats
        from gancompress.errors import ExportError

        names = known_formats() if "all" in self.formats else self.formats
        runtimes = {runtime for runtime, kind in map(find_format, names) if kind.opsets}
        if not runtimes:
            raise ExportError(f"--opset: got {opset} for {', '.join(names)}, expected none: only ONNX has opsets")
        for runtime in runtimes:
            if runtime.missing_package(to_write=True) is None:
                runtime.check_opset(opset)

    @property
    def is_page(self) -> bool:
        """True if the one format is a page."""
        from gancompress.deploy import find_format

        return not self.several and find_format(self.formats[0])[1].page
