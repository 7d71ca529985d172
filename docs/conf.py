"""Sphinx: how ``make docs`` builds these pages."""

import django
from django.conf import settings
from sphinx.util.inspect import signature, stringify_signature

# The reference is made from docstrings, and importing the field needs an installed app.
settings.configure(INSTALLED_APPS=["sequences_core"])
django.setup()

project = "sequences-core"
author = copyright = "the authors of sequences-core"
extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = True
# Names of Django and Python can't be resolved without a network, and type variables have no page.
nitpick_ignore_regex = [("py:.*", r"(?!sequences_).*"), ("py:class", r"sequences_core\.\w+\.[A-Z]")]

html_theme = "furo"
html_title = "sequences-core"
html_static_path = ["_static"]
html_css_files = ["site.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True


def setup(app):
    app.connect("autodoc-process-signature", signature_of_class)


def signature_of_class(app, what, name, obj, options, shown, returns):
    """Show the parameters of ``__init__()`` if Django's ``@deconstructible`` hides them."""
    if what == "class" and shown == "(*args, **kwargs)":
        parameters = signature(obj.__init__, bound_method=True)
        return stringify_signature(parameters, show_return_annotation=False), returns
    return None
