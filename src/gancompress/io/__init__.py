"""Files: written whole or not at all, identified by their SHA-256, and kept in one cache folder."""

from gancompress.io.files import CACHE_VARIABLE, cache_folder, file_sha256, write_atomically

__all__ = ["CACHE_VARIABLE", "cache_folder", "file_sha256", "write_atomically"]
