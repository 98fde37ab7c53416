"""`python -m imageforge` is the console script."""

from imageforge.cli.main import main

if __name__ == "__main__":
    main()
