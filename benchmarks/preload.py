"""What every writer needs, imported once: a writer is a fork of the process that has it."""

import django

django.setup()

import benchmarks.contestants  # noqa: E402, F401
