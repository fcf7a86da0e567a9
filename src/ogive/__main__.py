"""``python -m ogive``."""

from ogive.cli import main

if __name__ == "__main__":
    main()
