"""What can go wrong with a server."""


class ServerError(RuntimeError):
    """A server is missing, can't be installed, or did not start; the message says what to do."""
