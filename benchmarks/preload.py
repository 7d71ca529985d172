"""The imports of the process from which the writers are forked."""

import django

django.setup()

import benchmarks.contestants  # noqa: E402, F401
