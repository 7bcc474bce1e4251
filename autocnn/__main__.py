"""The command line, as the script ``autocnn`` and as ``python -m autocnn``.

A Ctrl-C while the program is still being imported ends it, in silence.
"""

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line, see ``autocnn.cli.main``."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # which raises, anywhere
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from autocnn.cli import main

    main()


if __name__ == "__main__":
    main()
