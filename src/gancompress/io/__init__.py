"""Files: written whole or not at all, described by format and version, identified by SHA-256; one cache folder."""

from gancompress.io.described import DescribedFile
from gancompress.io.files import CACHE_VARIABLE, cache_folder, file_sha256, write_atomically

__all__ = ["CACHE_VARIABLE", "DescribedFile", "cache_folder", "file_sha256", "write_atomically"]
