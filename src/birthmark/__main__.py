"""python -m birthmark."""

from birthmark.cli.commands import main

main()
