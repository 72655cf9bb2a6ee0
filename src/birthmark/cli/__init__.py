"""The command line. `commands` holds the main ones, `bench` and `gateway` theirs; the others print, count and demonstrate."""
