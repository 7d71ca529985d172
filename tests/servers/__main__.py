"""`python -m tests.servers start|stop|install [name …]`."""

from __future__ import annotations

import argparse
import os
import sys

from tests.servers import background
from tests.servers.errors import ServerError
from tests.servers.install import install
from tests.servers.launch import DEFAULT, KINDS, chosen, variable


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in {
        "start": "start servers in the background and print their URLs for the shell",
        "stop": "stop these servers and remove their data",
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
                kind().program()
            else:
                install(name)
            print(f"{name}: installed")
    elif command == "start":
        for name, url in background.start(chosen(os.environ["DB"])).items():
            print(f"export {variable(name)}={url}")
    else:
        ended = background.stop(chosen(os.environ["DB"]))
        print(f"Stopped: {', '.join(ended)}" if ended else "No server was running.")


if __name__ == "__main__":
    sys.exit(main())
