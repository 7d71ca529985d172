"""The deployed project: each request inserts a numbered row, and the response has its number."""

import os
import signal
import time
from pathlib import Path

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from sequences_core import run_atomic
from tests.numbered.models import Plain

LOCKED = float(os.environ.get("LOCKED", "0.002"))
"""Seconds for which a transaction keeps the counter locked while other requests run."""

DEAD = os.environ.get("DEAD")
"""The file that the code "dies" creates when it kills its process, which it does only once."""


def insert(code: str) -> int:
    """Insert the row in a transaction, which fails if another row has the code."""
    with transaction.atomic():
        number = Plain.objects.create(code=code).number
        if code == "dies" and DEAD and not Path(DEAD).exists():
            Path(DEAD).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(LOCKED)
        Plain.objects.create(code=f"{code}, second row")
    return number


def answer(number: int) -> HttpResponse:
    """Return a response with the number."""
    return JsonResponse({"number": number})


def synchronous(request: HttpRequest, code: str) -> HttpResponse:
    """Insert a row in a synchronous view."""
    try:
        return answer(insert(code))
    except IntegrityError:
        return HttpResponse(status=409)


async def asynchronous(request: HttpRequest, code: str) -> HttpResponse:
    """Insert one row in autocommit, and two in a transaction, in an asynchronous view."""
    try:
        await Plain.objects.acreate(code=f"{code}, autocommit")
        return answer(await sync_to_async(run_atomic)(lambda: insert(code)))
    except IntegrityError:
        return HttpResponse(status=409)


urlpatterns = [
    path("synchronous/<str:code>", synchronous),
    path("asynchronous/<str:code>", asynchronous),
]
