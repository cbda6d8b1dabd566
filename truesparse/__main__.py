"""`python -m truesparse`: the command, where its script is not on the path."""

from truesparse.cli import main

if __name__ == "__main__":
    main()
