"""``python3 -m gateway``: the command line, on a machine with nothing but Python too."""

import sys

from gateway import firstrun

if __name__ == "__main__":
    firstrun.enter(["-m", "gateway"], sys.argv[1:])
    from gateway.cli import main

    main()
