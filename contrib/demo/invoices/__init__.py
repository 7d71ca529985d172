"""Invoices: an app that numbers without holes."""
