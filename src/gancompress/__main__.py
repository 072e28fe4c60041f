"""``python -m gancompress``."""

from gancompress.cli import main

main()
