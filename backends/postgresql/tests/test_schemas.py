"""Each schema's function uses its own table, with any search_path of the caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any, ClassVar

import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connections, transaction
from sequences_postgresql import PostgreSQLAllocator

from sequences_core import FunctionMissing, get_allocator
from sequences_core.allocator import FUNCTION
from sequences_core.functions import forget_functions, has_function
from sequences_core.table import TABLE
from sequences_core.taking import database_errors

SCHEMAS = ("one", "two", 'odd "name"', "it's odd", "50%s.{x}$$", "Copy")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.django_db(
    transaction=True, databases=["postgresql"], available_apps=["sequences_core"]
)
class TestSchemas:
    using: ClassVar[str] = "postgresql"

    @pytest.fixture(autouse=True)
    def _schemas(self) -> Iterator[None]:
        yield
        self.run("RESET search_path")
        for schema in SCHEMAS:
            self.run(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
        connections[self.using].close()
        forget_functions()

    def run(self, sql: str, *params: str) -> Any:
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, params or None)
            return cursor.fetchone() if cursor.description else None

    @property
    def allocator(self) -> PostgreSQLAllocator:
        allocator = get_allocator(connections[self.using])
        assert isinstance(allocator, PostgreSQLAllocator)
        return allocator

    def is_installed(self) -> bool:
        return self.allocator.is_installed(connections[self.using])

    @contextmanager
    def path(self, *schemas: str) -> Iterator[None]:
        """Set search_path to these schemas, as django-tenants does."""
        self.run("SELECT set_config('search_path', %s, false)", ", ".join(map(quoted, schemas)))
        yield
        self.run("RESET search_path")

    def tenant(self, schema: str) -> None:
        """Create a schema with the table and the function, as migrate does."""
        self.run(f"CREATE SCHEMA {quoted(schema)}")
        with self.path(schema):
            self.run(f"CREATE TABLE {TABLE} (LIKE public.{TABLE} INCLUDING ALL)")
            self.allocator.install(connections[self.using])

    def take(self, schema: str = "") -> int:
        """Call the function by its unqualified name, or with a schema."""
        prefix = f"{quoted(schema)}." if schema else ""
        return int(self.run(f"SELECT {prefix}{FUNCTION}('s')")[0])

    def test_each_schema_has_its_own(self) -> None:
        """Tenants have separate numbers, with any search_path."""
        for schema in SCHEMAS:
            self.tenant(schema)
        for schema in SCHEMAS:
            with self.path(schema, "public"):
                assert self.is_installed()
                assert [self.take(), self.take()] == [1, 2]
        with self.path():  # as in a logical replication worker, and in what pg_dump restores
            assert self.take("public") == 1
            assert [self.take(schema) for schema in SCHEMAS] == [3] * len(SCHEMAS)
        with self.path("two", "one"):
            assert self.take("one") == 4
            assert self.take() == 4

    def test_a_default_and_a_trigger_without_search_path(self) -> None:
        """Rows that other programs insert get numbers from the schema's own function."""
        self.tenant("one")
        with self.path("one"):
            self.run(f"CREATE TABLE paper (n bigint DEFAULT {FUNCTION}('s'))")
        with self.path():
            for expected in (1, 2):
                assert self.run('INSERT INTO "one".paper DEFAULT VALUES RETURNING n') == (expected,)

    def test_a_shared_function_of_another_table(self) -> None:
        """If a tenant has a table but no function, public's function isn't current for it."""
        self.run('CREATE SCHEMA "one"')
        with self.path("one"):
            self.run(f"CREATE TABLE {TABLE} (LIKE public.{TABLE} INCLUDING ALL)")
        with self.path("one", "public"):
            assert not self.is_installed()
            self.allocator.install(connections[self.using])
            assert self.is_installed()
            assert self.take() == 1
            self.allocator.uninstall(connections[self.using])
            assert not self.is_installed()
        assert self.is_installed()  # public's is still there

    def test_a_shared_table(self) -> None:
        """If a tenant has neither table nor function, it uses public's, also after an install."""
        self.run('CREATE SCHEMA "one"')
        with self.path("one", "public"):
            assert self.is_installed()
            self.allocator.install(connections[self.using])
        with self.path("public"):
            assert self.is_installed()

    def test_a_copy_of_a_schema(self) -> None:
        """A copied function isn't current until it is installed with the schema's own body."""
        self.tenant("one")
        self.run('CREATE SCHEMA "Copy"')
        (source,) = self.run(f"SELECT pg_get_functiondef('\"one\".{FUNCTION}'::regproc)")
        copied = source.replace(f"one.{FUNCTION}", f'"Copy".{FUNCTION}')
        with self.path("Copy"):
            self.run(f"CREATE TABLE {TABLE} (LIKE public.{TABLE} INCLUDING ALL)")
            self.run(copied)
            assert not self.is_installed()
            self.run(copied.replace('"one"', '"Copy"'))
            assert self.is_installed()

    def test_a_renamed_schema(self) -> None:
        """The function of a renamed schema isn't current until it is installed again."""
        self.tenant("one")
        self.run('ALTER SCHEMA "one" RENAME TO "two"')
        with self.path("two", "public"):
            assert not self.is_installed()
            call_command("sequences", "install", database=self.using, stdout=StringIO())
            assert self.is_installed()
            assert self.take() == 1

    def test_a_temporary_table_of_the_same_name(self) -> None:
        """A temporary table affects neither the function nor its installation."""
        self.run(f"CREATE TEMPORARY TABLE {TABLE} (LIKE public.{TABLE} INCLUDING ALL)")
        assert self.is_installed()
        self.allocator.uninstall(connections[self.using])
        self.allocator.install(connections[self.using])
        assert self.is_installed()
        assert self.take() == 1
        assert self.run(f"SELECT last FROM public.{TABLE} WHERE name = 's'") == (1,)

    @pytest.mark.parametrize("schema", ["one", "it's odd"])
    def test_a_search_path_that_was_set_by_sql(self, schema: str) -> None:
        """The function of another table is refused, and the cached state of it is discarded."""
        self.run(f"CREATE SCHEMA {quoted(schema)}")
        connection = connections[self.using]
        forget_functions()
        with self.path(schema):
            self.run(f"CREATE TABLE {TABLE} (LIKE public.{TABLE} INCLUDING ALL)")
        with self.path("public"):
            assert has_function(connection)
            assert self.take() == 1
        with self.path(schema, "public"):
            assert has_function(connection)  # remembered
            with (
                pytest.raises(FunctionMissing),
                database_errors(connection, ours=False),
                transaction.atomic(using=self.using),
            ):
                self.take()
            assert not has_function(connection)
            assert self.run(f"SELECT count(*) FROM {TABLE}") == (0,)
            self.allocator.install(connection)
            assert self.take() == 1
        with self.path("public", schema):
            assert self.take() == 2
            assert self.take(schema) == 2

    def test_a_copied_function_between_schemas(self) -> None:
        """A copied function is refused in the copy, and works in the original schema."""
        for schema in ("one", "two"):
            self.tenant(schema)
        (source,) = self.run(f"SELECT pg_get_functiondef('\"one\".{FUNCTION}'::regproc)")
        self.run(source.replace(f"one.{FUNCTION}", f"two.{FUNCTION}"))
        with self.path("one"):
            assert self.take() == 1
        with self.path("two"), pytest.raises(ProgrammingError, match=FUNCTION):
            self.take()
        with self.path("two", "one"), pytest.raises(ProgrammingError, match=FUNCTION):
            self.take()
        with self.path("one", "two"):
            assert self.take() == 2
        with self.path():
            assert self.take("one") == 3

    def test_a_default_that_calls_another_schemas_function(self) -> None:
        """A shared table's default calls the shared function, also for tenants with their own."""
        self.run(f"CREATE TABLE paper (n bigint DEFAULT {FUNCTION}('s'))")
        try:
            self.tenant("one")
            for path in (["public"], ["one", "public"], []):
                with self.path(*path):
                    self.run("INSERT INTO public.paper DEFAULT VALUES")
            assert self.run("SELECT array_agg(n ORDER BY n) FROM public.paper") == ([1, 2, 3],)
            with self.path("one", "public"):
                assert self.take() == 1
        finally:
            self.run("DROP TABLE public.paper")

    def test_no_search_path(self) -> None:
        """Without a search_path, the function isn't installed."""
        with self.path():
            assert not self.is_installed()

    def test_a_function_that_may_not_be_executed(self) -> None:
        """A function that the user may not execute counts as not installed."""
        self.run("CREATE ROLE clerk")
        try:
            self.run(f"REVOKE EXECUTE ON FUNCTION {FUNCTION} FROM PUBLIC")
            self.run("SET ROLE clerk")
            assert not self.is_installed()
            self.run("RESET ROLE")
            assert self.is_installed()
        finally:
            self.run(f"RESET ROLE; GRANT EXECUTE ON FUNCTION {FUNCTION} TO PUBLIC; DROP ROLE clerk")

    def test_the_namespace_is_that_of_django_tenants(self) -> None:
        """The state of the function is cached for each schema_name of the connection."""
        connection: Any = connections[self.using]
        assert self.allocator.namespace(connection) == ""
        try:
            connection.schema_name = "one"
            assert self.allocator.namespace(connection) == "one"
        finally:
            del connection.schema_name
