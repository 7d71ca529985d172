"""The environment variables by which a run tells its steps what to do."""

SCALE = "BENCHMARK_SCALE"
"""quick or full."""

URL = "BENCHMARK_URL"
"""The measured database, for dj-database-url."""

CHOSEN = "BENCHMARK_CONTESTANTS"
"""The names of those that take part, as prepare.py found, in JSON."""

DISK = "BENCHMARK_DISK"
"""The folder by which the disk under the database is slowed, where that can be done."""

EVENTS = "BENCHMARK_EVENTS"
"""The number of the pipe's descriptor that takes events."""
