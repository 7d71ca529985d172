"""The entry point of the demo: ``python contrib/demo/run.py --help``."""

import os
import signal
import sys
from pathlib import Path

# Each writer process imports this file, too, but must not run what follows.
if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parents[2]))  # for tests.servers
    # The fork server needs this, because it doesn't inherit sys.path in Python 3.11.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)

    # In a shell's background job, SIGINT is ignored by default.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    from demo import main

    sys.exit(main())
