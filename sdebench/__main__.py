"""`python -m sdebench`: the command line."""

from sdebench.cli import main

if __name__ == "__main__":
    main()
