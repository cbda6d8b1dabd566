"""The same as ``truesparse bench step``, from a source tree: python benchmarks/step.py --help"""

import sys

from truesparse.cli import main

if __name__ == "__main__":
    main(["bench", "step", *sys.argv[1:]])
