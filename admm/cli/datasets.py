"""`admm datasets`: the known data sets."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admm.cli.start import show


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """What to do, with what."""
    parser.description = "Where the known data sets are, how to get them, and what is in them."
    actions = parser.add_subparsers(dest="action", required=True, parser_class=type(parser))
    list_ = actions.add_parser("list", help="where each known data set is")
    download = actions.add_parser(
        "download",
        help="fetch the files of one into a folder of its name in the data directory",
        description="Fetch a data set over HTTPS. Size and checksum of every file are those of its "
        "upstream, or the file is not kept.",
    )
    download.add_argument("name", metavar="NAME", help="as in the list")
    for reader in (list_, download):
        reader.add_argument("--data-dir", type=Path, metavar="DIR", help="as in train")
    check = actions.add_parser("check", help="read a data set, or all below a folder")
    text = "a .npz file, a folder, or a name with options, as sbm:nodes=3000 or sensors:clients=8"
    check.add_argument("path", type=Path, metavar="PATH", help=text)
    for name, kind, metavar in (
        ("split", int, "N"),
        ("weights", str, "use|ignore"),
        ("features", str, "identity|degrees"),
    ):
        check.add_argument(f"--{name}", type=kind, metavar=metavar, help="as in train")


def run(arguments: argparse.Namespace, comm: Any) -> None:
    """Do it, in one process."""
    if comm is not None and comm.rank > 0:
        return
    from admm.datasets import catalog
    from admm.datasets.files import data_folder

    if arguments.action == "check":
        given = {name: getattr(arguments, name) for name in ("split", "weights", "features")}
        lines = catalog.check(arguments.path, **{k: v for k, v in given.items() if v is not None})
    elif arguments.action == "list":
        lines = catalog.listing(data_folder(arguments.data_dir))
    else:
        lines = catalog.fetch(arguments.name, data_folder(arguments.data_dir))
    for line in lines:
        show(line)
