"""The same as ``truesparse bench inference``, from a source tree: python benchmarks/inference.py --help"""

import sys

from truesparse.cli import main

if __name__ == "__main__":
    main(["bench", "inference", *sys.argv[1:]])
