"""The same as ``truesparse bench sweep``, from a source tree: python benchmarks/sweep.py --help"""

import sys

from truesparse.cli import main

if __name__ == "__main__":
    main(["bench", "sweep", *sys.argv[1:]])
