"""The command line as `python -m tune_nas`, for interpreters whose scripts are not on the path."""

from tune_nas.cli import main

if __name__ == "__main__":
    main()
