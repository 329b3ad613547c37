"""The `cleanlens` command, also as `python -m cleanlens`."""

import sys


def main() -> None:
    """Start the command; Ctrl-C is answered quietly from here on, while it is still being imported too."""
    try:
        from cleanlens.course import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
