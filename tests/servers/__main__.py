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


def main() -> None:
    """Run the command; exit with a message if it fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("command", choices=["start", "stop", "install"])
    parser.add_argument("names", nargs="*", metavar="name")
    arguments = parser.parse_args()
    os.environ["DB"] = listed = " ".join(arguments.names)  # the servers read their releases from it
    try:
        if arguments.command == "install":
            for name in arguments.names:
                install(name)
                print(f"{name}: installed")
        elif arguments.command == "start":
            for name, url in background.start(chosen(listed)).items():
                print(f"export {variable(name)}={url}")
        else:
            ended = background.stop(chosen(listed))
            print(f"Stopped: {', '.join(ended)}" if ended else "No server was running.")
    except ServerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
