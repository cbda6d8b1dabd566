"""The same as ``truesparse bench kernels``, from a source tree: python benchmarks/kernels.py --help"""

import sys

from truesparse.cli import main

if __name__ == "__main__":
    main(["bench", "kernels", *sys.argv[1:]])
