"""What the user types and sees: one file for each command, and no numerics."""

import sys

try:
    from truesparse.cli.root import main
except KeyboardInterrupt:  # Ctrl-C while the commands load, before one of them can answer it
    sys.stderr.write("truesparse: stopped\n")
    sys.exit(130)

__all__ = ["main"]
