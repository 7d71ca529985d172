"""The app of the demo: invoices with gapless numbers."""
