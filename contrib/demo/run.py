"""The demo's entry: `python contrib/demo/run.py --help`."""

import os
import signal
import sys
from pathlib import Path

# Each writer imports this file too, and nothing of what follows.
if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parents[2]))  # for tests.servers
    # The process that forks the writers looks here: Python 3.11's doesn't take over sys.path.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)

    # A shell's background job starts with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    from demo import main

    sys.exit(main())
