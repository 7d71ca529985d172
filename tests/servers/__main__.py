"""`python -m tests.servers start|install [name …]`."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys

from tests.servers.errors import ServerError
from tests.servers.install import install
from tests.servers.launch import DEFAULT, KINDS, chosen, start, variable


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in {
        "start": "start servers, print their URLs for the shell, and run until Ctrl-C",
        "install": "install the programs of a server, or the build dependencies of a driver",
    }.items():
        sub = commands.add_parser(command, help=text, description=text)
        sub.add_argument("names", nargs="*", metavar="name", help="default: all")
    arguments = parser.parse_args()
    try:
        _run(arguments.command, arguments.names)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(command: str, names: list[str]) -> None:
    os.environ["DB"] = " ".join(names)  # the servers read their releases from it
    if command == "install":
        for name in names or [name for name in DEFAULT if name in KINDS]:
            if kind := KINDS.get(name.partition("@")[0]):
                kind().install()
            else:
                install(name)
            print(f"{name}: installed")
    else:
        for number in (signal.SIGINT, signal.SIGTERM):  # a background job ignores SIGINT
            signal.signal(number, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            for name, url in start(chosen(os.environ["DB"])).items():
                print(f"export {variable(name)}={url}", flush=True)
            signal.pause()  # the servers end with this process


if __name__ == "__main__":
    sys.exit(main())
