"""``python -m ptychodask``."""

from .cli import main

main()
