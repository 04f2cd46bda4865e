"""Starts the command line: `governor`, or `python -m controller`."""

from controller.cli.app import app


def main() -> None:
    """Run `governor`."""
    app()


if __name__ == "__main__":
    main()
