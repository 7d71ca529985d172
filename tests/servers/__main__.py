"""`python -m tests.servers start|stop|install [name …]`.

Start the databases in the background and print their URLs for the shell; stop them and remove their
data, by default those of all; or install what a server or a driver needs.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests.servers import background
from tests.servers.errors import ServerError
from tests.servers.install import install
from tests.servers.launch import chosen, variable


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("command", choices=["start", "stop", "install"])
    parser.add_argument("names", nargs="*", metavar="name")
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
        for name in names:
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
