"""`python -m tests.servers start|stop|install [name …]`."""

from __future__ import annotations

import argparse
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
        "stop": "end them and remove their data",
        "install": "install what servers, or the build of a driver, need",
        "keep": "run one server until SIGTERM",
    }.items():
        sub = commands.add_parser(command, help=text, description=text)
        sub.add_argument("names", nargs="*", metavar="name", help="default: all")
        if command in {"start", "keep"}:
            sub.add_argument("--durable", action="store_true", help="the servers' own settings")
    arguments = parser.parse_args()
    try:
        return _run(arguments.command, arguments.names, getattr(arguments, "durable", False))
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1


def _run(command: str, names: list[str], durable: bool) -> int:
    if command == "install":
        for name in names or KINDS:
            print(f"{name}: {install(name)}")
    elif command == "start":
        for name, url in background.start(chosen(" ".join(names)), durable=durable).items():
            print(f"export {variable(name)}={url}")
    elif command == "stop":
        ended = background.stop(names or DEFAULT)
        print(f"Ended: {', '.join(ended)}" if ended else "No server was running.")
    else:
        background.keep(names[0], durable=durable)
    return 0


if __name__ == "__main__":
    sys.exit(main())
