"""The error of this package."""


class ServerError(RuntimeError):
    """A server is missing, can't be installed, or did not start; the message tells what to do."""
