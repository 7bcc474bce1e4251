"""The script ``autocnn``: a Ctrl-C while the program is still being imported ends it, in silence.

It is a package of its own, since whatever is in ``autocnn`` imports that first.
"""

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line, see ``autocnn.cli.main``."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # which raises, anywhere
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from autocnn.cli import main

    main()
