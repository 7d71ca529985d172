"""Coroutines: each takes its numbers in a thread, as Django's own asynchronous methods do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import IntegrityError, connections, transaction

from sequences_core import get_last_value, get_next_value, run_atomic
from tests.numbered.models import Plain

APPS = ["tests.numbered"]

REQUESTS = 24


def serve(using: str, view: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Run the view for each request, all at once; return what they returned or raised.

    Each request has a thread of its own, as django.core.handlers.asgi.ASGIHandler gives it.
    """

    async def request(number: int) -> Any:
        async with ThreadSensitiveContext():
            try:
                return await view(number)
            finally:
                await sync_to_async(lambda: connections[using].close())()

    async def requests() -> list[Any]:
        tasks = (request(number) for number in range(REQUESTS))
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(requests())


def numbers(using: str) -> dict[str, int]:
    """Return the number of each row, which are 1..n."""
    rows = dict(Plain.objects.using(using).values_list("code", "number"))
    assert sorted(rows.values()) == list(range(1, len(rows) + 1))
    assert get_last_value("numbered_plain.number", using=using) == (len(rows) or None)
    return rows


def test_the_orms_asynchronous_methods(using: str) -> None:
    """acreate, asave and abulk_create in many coroutines give 1..n, whatever fails among them."""
    rows = Plain.objects.using(using)

    async def view(i: int) -> dict[str, int]:
        code = f"{i}"
        made = [await rows.acreate(code=code)]
        with pytest.raises(IntegrityError):
            await rows.acreate(code=code)
        saved = Plain(code=f"{code}, saved")
        await saved.asave(using=using)
        bulk = await rows.abulk_create([Plain(code=f"{code}, {kind}") for kind in "ab"])
        return {str(row.code): row.number for row in [*made, saved, *bulk]}

    made: dict[str, int] = {}
    for result in serve(using, view):
        made |= result
    assert made == numbers(using)
    assert len(made) == 4 * REQUESTS


def test_a_transaction_in_a_thread(using: str) -> None:
    """run_atomic by sync_to_async is one transaction: it is committed, or undone, as a whole."""
    rows = Plain.objects.using(using)

    def insert(i: int) -> dict[str, int]:
        made = [rows.create(code=f"{i}, {kind}") for kind in "ab"]
        if i % 3 == 0:
            raise LookupError
        return {row.code: row.number for row in made}

    async def view(i: int) -> dict[str, int]:
        return await sync_to_async(run_atomic)(lambda: insert(i), using=using)

    made: dict[str, int] = {}
    for i, result in enumerate(serve(using, view)):
        if i % 3 == 0:
            assert isinstance(result, LookupError)
        else:
            made |= result
    assert made == numbers(using)


def test_a_coroutine_that_is_cancelled(using: str) -> None:
    """Its thread either runs to the commit or never starts, so there is no gap."""
    chance = random.Random(1)

    async def view(i: int) -> None:
        insert = Plain.objects.using(using).acreate(code=f"{i}")
        await asyncio.wait_for(insert, chance.random() * 0.05)

    results = serve(using, view)
    assert all(result is None or isinstance(result, TimeoutError) for result in results)
    assert len(numbers(using)) >= results.count(None)


@pytest.mark.parametrize("inside", [True, False], ids=["transaction", "autocommit"])
def test_a_call_in_the_event_loop(inside: bool, using: str) -> None:
    """Django refuses it, as it does each query there, and no number is taken."""

    async def take() -> int:
        if inside:
            with transaction.atomic(using=using):
                return get_next_value("s", using=using)
        return get_next_value("s", using=using)

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(take())
    assert get_last_value("s", using=using) is None
