"""The command line, one command a file; :mod:`lvtune.cli.main` finds them."""
