"""Numbers that are taken in-statement follow the same rules as others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, DataError, IntegrityError, NotSupportedError
from django.db.models import Value
from django.db.models.functions import Concat
from django.db.models.sql import Query

from sequences_core import (
    FunctionMissing,
    NextValue,
    get_next_value,
    set_last_value,
)
from sequences_core.allocator import EXHAUSTED, FUNCTION
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE, WHITE_SPACE
from sequences_core.functions import forget_functions
from sequences_core.operations import install

from .concurrency import Concurrency
from .transactions import Rollback
from .values import LOOKALIKES

BAD_NAMES = [
    *(None, "", " leading", "trailing ", "line\n", "\ttab", "wide\u3000", "hard\u00a0", "nul\0"),
    *("x" * (MAX_NAME_LENGTH + 1), "x" * 5000),
]

BAD_VALUES: list[tuple[int | None, int | None]] = [
    (None, None),
    (-1, None),
    (None, 5),
    (5, 5),
    (5, 4),
    (0, -1),
    (MAX_VALUE + 1, None),
]


class InStatement(Concurrency):
    """NextValue, if the backend has a function; else its error."""

    refusal: ClassVar[type[DatabaseError]] = DataError
    """Which error of Django's does an error of the function become?"""

    exhausted: ClassVar[str] = EXHAUSTED
    """Which text does the error of an exhausted sequence contain?"""

    def evaluate(self, sql: str, params: Sequence[Any]) -> int:
        """Evaluate an expression in a separate statement."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {sql}{self.connection.features.bare_select_suffix}", params)
            number: int = cursor.fetchone()[0]
        return number

    def select(self, *args: Any) -> int:
        """Evaluate NextValue."""
        query = Query(None)
        compiler = query.get_compiler(using=self.using)
        number = NextValue(*args).resolve_expression(query, for_save=True)
        return self.evaluate(*compiler.compile(number))

    def call(self, *args: Any) -> int:
        """Call the function as any client of the database can."""
        assert self.allocator.is_installed(self.connection)
        return self.evaluate(f"{FUNCTION}({', '.join(['%s'] * len(args))})", args)

    def take_inside(self, name: str = "s") -> Callable[[], int]:
        """Return a function that takes one number in-statement and commits it."""

        def in_transaction() -> int:
            with self.atomic():
                return self.select(name)

        return in_transaction

    def test_without_a_function(self) -> None:
        """A backend without a function refuses NextValue and takes nothing."""
        self.requires("supports_function", False)
        with pytest.raises(NotSupportedError, match="get_next_value"):
            self.select("s")
        assert self.counters() == {}

    def test_install_may_be_repeated(self) -> None:
        """install() and uninstall() may be called at any time, in transactions where DDL may."""
        self.create()
        places: list[AbstractContextManager[Any]] = [nullcontext()]
        if self.connection.features.can_rollback_ddl:
            places.append(self.atomic())
        allocator = self.allocator
        try:
            for place in places:
                with place:
                    for change in (*[allocator.install] * 2, *[allocator.uninstall] * 2):
                        change(self.connection)
                        assert self.connection.in_atomic_block == (place is not places[0])
        finally:
            allocator.install(self.connection)
            forget_functions()
        assert allocator.is_installed(self.connection) == self.flag("supports_function")
        assert self.take()() == 2

    def test_function_numbers_are_consecutive(self) -> None:
        """NextValue and get_next_value take numbers of the same sequence."""
        self.requires("supports_function")
        with self.atomic():
            numbers = [self.select("s"), get_next_value("s", using=self.using), self.select("s")]
            assert numbers == [1, 2, 3]
            set_last_value(10, "s", using=self.using)
            assert self.select("s") == 11
        assert self.select("s") == 12  # in autocommit, too
        assert self.counters() == {"s": 12}

    @pytest.mark.parametrize("initial", [0, 1, 2, 2**53 + 1, MAX_VALUE - 1])
    def test_function_initial_value(self, initial: int) -> None:
        """The first number is initial_value, which later calls ignore."""
        self.requires("supports_function")
        assert [self.select("s", initial), self.select("s", 7)] == [initial, initial + 1]

    def test_function_loops(self) -> None:
        """The sequence restarts instead of reaching reset_value, also at the ends of the range."""
        self.requires("supports_function")
        assert [self.select("s", 3, 6) for _ in range(7)] == [3, 4, 5, 3, 4, 5, 3]
        assert [self.select("t", 0, 1) for _ in range(3)] == [0, 0, 0]
        assert [self.select("u", MAX_VALUE - 1, MAX_VALUE) for _ in range(2)] == [MAX_VALUE - 1] * 2
        set_last_value(MAX_VALUE, "u", using=self.using)
        assert self.select("u", 5, 9) == 5

    def test_function_names_compare_byte_for_byte(self) -> None:
        """Names that look alike are different counters, the same ones as for get_next_value."""
        self.requires("supports_function")
        with self.atomic():
            for name in LOOKALIKES:
                assert self.select(name) == 1, name
                assert self.select(Value(name)) == 2, name
                assert get_next_value(name, using=self.using) == 3, name
            assert self.select(Concat(Value("computed."), Value("name"))) == 1
        assert self.counters() == {**dict.fromkeys(LOOKALIKES, 3), "computed.name": 1}

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_function_refuses_bad_names(self, name: str | None) -> None:
        """The function itself refuses an invalid name and creates no counter."""
        self.requires("supports_function")
        # psycopg2 itself refuses NUL.
        with pytest.raises((self.refusal, ValueError)), self.atomic():
            self.call(name, 1, None)
        assert self.counters() == {}

    def test_function_refuses_white_space(self) -> None:
        """The function refuses a name that str.strip() would shorten, at either end."""
        self.requires("supports_function")

        def is_refused(name: str) -> bool:
            try:
                with self.atomic():
                    self.call(name, 1, None)
            except self.refusal:
                return True
            return False

        names = [name for space in WHITE_SPACE for name in (f"{space}x", f"x{space}")]
        assert [name for name in names if not is_refused(name)] == []
        assert self.counters() == {}

    @pytest.mark.parametrize(("initial", "reset"), BAD_VALUES)
    def test_function_refuses_bad_values(self, initial: int | None, reset: int | None) -> None:
        """The function refuses values that are NULL, out of range or contradictory."""
        self.requires("supports_function")
        get_next_value("s", using=self.using)
        # sqlite3 itself refuses integers of more than 64 bits.
        with pytest.raises((DatabaseError, OverflowError)), self.atomic():
            self.call("s", initial, reset)
        assert self.counters() == {"s": 1}

    def test_function_is_exhausted(self) -> None:
        """After MAX_VALUE the function raises an error, and the counter doesn't change."""
        self.requires("supports_function")
        with self.atomic():
            set_last_value(MAX_VALUE - 1, "s", using=self.using)
            assert self.select("s") == MAX_VALUE
            for _ in range(2):
                with pytest.raises(self.refusal, match=self.exhausted), self.atomic():
                    self.select("s")
            assert self.select("t") == 1
        assert self.counters() == {"s": MAX_VALUE, "t": 1}

    def test_function_rollback_gives_numbers_back(self) -> None:
        """A rollback, also to a savepoint, gives the numbers back."""
        self.requires("supports_function")
        with pytest.raises(Rollback), self.atomic():
            assert self.select("s") == 1
            raise Rollback
        assert self.counters() == {}
        with self.atomic():
            assert self.select("s") == 1
            with pytest.raises(Rollback), self.atomic():
                assert self.select("s") == 2
                raise Rollback
            assert self.select("s") == 2
        assert self.counters() == {"s": 2}

    def test_function_in_insert_and_update(self) -> None:
        """Each stored row gets a number; an INSERT that fails gives its number back."""
        self.requires("supports_function")
        assert self.allocator.is_installed(self.connection)
        number = f"{FUNCTION}('s', 1, NULL)"
        insert = f"INSERT INTO sequences_numbered VALUES (%s, {number})"
        with self.connection.cursor() as cursor:
            cursor.execute("CREATE TABLE sequences_numbered (id INT PRIMARY KEY, taken INT)")
            try:
                cursor.execute(insert, [1])
                with pytest.raises(IntegrityError):
                    cursor.execute(insert, [1])
                with self.atomic():
                    cursor.execute(insert, [2])
                    with pytest.raises(IntegrityError), self.atomic():
                        cursor.execute(insert, [2])
                cursor.execute(f"UPDATE sequences_numbered SET taken = {number}")
                cursor.execute("SELECT taken FROM sequences_numbered ORDER BY taken")
                assert [taken for (taken,) in cursor.fetchall()] == [3, 4]
            finally:
                cursor.execute("DROP TABLE sequences_numbered")

    def test_function_missing(self) -> None:
        """Without the function, the error names the command that installs it."""
        self.requires("supports_function")
        self.requires("function_of_connection", False)
        self.allocator.uninstall(self.connection)
        self.allocator.uninstall(self.connection)  # idempotent
        forget_functions()
        try:
            assert not self.allocator.is_installed(self.connection)
            with pytest.raises(FunctionMissing, match="sequences install --database"):
                self.select("s")
            assert get_next_value("s", using=self.using) == 1
            with pytest.raises(DatabaseError):
                self.evaluate(f"{FUNCTION}('s', 1, NULL)", [])
        finally:
            install(self.connection)
        install(self.connection)  # idempotent
        assert self.allocator.is_installed(self.connection)
        assert self.select("s") == 2
