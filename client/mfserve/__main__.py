"""``python -m mfserve`` is the command line, where the script is not on the PATH."""

from mfserve.cli import main

if __name__ == "__main__":
    main()
