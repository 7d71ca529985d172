"""Private, throw-away database servers, for tests, the demo, benchmarks and fault injection."""

from tests.servers.base import Server
from tests.servers.errors import ServerError
from tests.servers.folders import stop
from tests.servers.launch import boot, start
from tests.servers.mysqld import MariaDB, MySQL
from tests.servers.postgresql import PostgreSQL

__all__ = ["MariaDB", "MySQL", "PostgreSQL", "Server", "ServerError", "boot", "start", "stop"]
