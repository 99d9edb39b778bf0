"""`python -m sdebench`: the command line."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # Python puts the working folder first; `main` puts it last

    from sdebench.cli import main

    main()
