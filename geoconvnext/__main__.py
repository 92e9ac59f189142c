"""`python -m geoconvnext`: the same as the `geoconvnext` command."""

from geoconvnext.cli.main import main

if __name__ == "__main__":
    main()
