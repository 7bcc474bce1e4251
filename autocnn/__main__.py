"""``python -m autocnn``: the command line, where the script ``autocnn`` is not on the path."""

from autocnn_start import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
