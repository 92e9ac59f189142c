"""The `geoconvnext` command: its verbs, and how errors reach the user."""

import sys
from typing import Annotated

import typer

import geoconvnext.heap  # noqa: F401 - before numpy starts threads
from geoconvnext import __version__
from geoconvnext.cli import (
    calibrate,
    check,
    evaluate,
    info,
    polygonize,
    predict,
    pretrain,
    regularize,
    synth,
    tile,
    train,
)
from geoconvnext.errors import GeoconvnextError

app = typer.Typer(
    help="Individual building footprints from satellite and aerial scenes.",
    epilog="Start with:  geoconvnext predict scene.tif -o buildings.gpkg --preview buildings.png",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text starts faster, and all errors look the same
)
for verb in (
    predict,
    polygonize,
    regularize,
    info,
    evaluate,
    synth,
    tile,
    check,
    train,
    calibrate,
    pretrain,
):
    app.command(epilog=verb.EXAMPLES, no_args_is_help=True)(getattr(verb, verb.__name__.rsplit(".", 1)[-1]))


@app.callback(invoke_without_command=True)
def root(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False
) -> None:
    """Individual building footprints from satellite and aerial scenes."""
    if version:
        print(f"geoconvnext {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an error of the user's input is one message and exit code 2."""
    try:
        app()
    except GeoconvnextError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
