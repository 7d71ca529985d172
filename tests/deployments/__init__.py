"""A small Django project, run by the web servers and workers that are common in production."""
