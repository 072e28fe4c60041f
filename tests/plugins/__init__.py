"""Runtimes as a package outside of gancompress adds them, one file each."""
