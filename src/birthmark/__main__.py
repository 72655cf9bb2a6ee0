"""python -m birthmark."""

from birthmark.cli.edge import main

main()
