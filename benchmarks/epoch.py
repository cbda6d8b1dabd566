"""The same as ``truesparse bench epoch``, from a source tree: python benchmarks/epoch.py --help"""

import sys

from truesparse.cli import main

if __name__ == "__main__":
    main(["bench", "epoch", *sys.argv[1:]])
