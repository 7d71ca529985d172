"""The translations: every string is in the catalogues, and the pages of sequences speak them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils.translation import override

from sequences_core.models import Counter
from tests.distributions import ROOT
from tests.servers.install import install

PACKAGES = [ROOT / "sequences_core", ROOT / "contrib" / "sequences_contrib"]
WHOLE = {"de", "es", "fr", "it", "nl", "pl", "pt"}
"""The languages into which everything is translated."""

NAMES_ONLY = {"bg", "cs", "da", "ja", "lt", "ru", "sk", "sv", "th", "tr"}
"""The languages in which the models and fields of the core have names."""

HOW = "run `make messages`, and translate what is empty"

each_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


def catalogues(package: Path, suffix: str = "po") -> dict[str, Path]:
    """The files of a package by language."""
    return {path.parts[-3]: path for path in package.glob(f"locale/*/LC_MESSAGES/django.{suffix}")}


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_mo(file) if path.suffix == ".mo" else read_po(file, abort_invalid=True)


def strings(catalogue: Catalog) -> dict[Any, tuple[str, ...]]:
    """Return the translated strings, without the header and empty ones."""
    found = {}
    for message in catalogue:
        if message.id and any(forms(message.string)):
            found[forms(message.id), message.context] = forms(message.string)
    return found


def forms(text: Any) -> tuple[str, ...]:
    """Return the singular and plural forms of a string."""
    return (text,) if isinstance(text, str) else tuple(text)


@pytest.fixture
def copy(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, as the working directory of gettext's tools."""
    install("gettext")
    ignored = shutil.ignore_patterns("__pycache__", "*.mo")
    copy = shutil.copytree(package, tmp_path / package.name, ignore=ignored)
    monkeypatch.chdir(copy)
    return copy


def test_languages() -> None:
    """Seven languages have everything, ten others the names of the core."""
    core, contrib = PACKAGES
    assert set(catalogues(core)) == WHOLE | NAMES_ONLY
    assert set(catalogues(contrib)) == WHOLE


@each_package
def test_catalogues_hold_the_strings_of_the_code(package: Path, copy: Path) -> None:
    """Extraction finds nothing new, nothing that is gone, and nothing that was only guessed."""
    call_command("makemessages", all=True, no_location=True, no_wrap=True, verbosity=0)
    for language, extracted in catalogues(copy).items():
        here, there = read(catalogues(package)[language]), read(extracted)
        ids = {message.id for message in there if message.id}
        assert {message.id for message in here if message.id} == ids, f"{language}: {HOW}"
        assert len(ids) > 30
        for catalogue in (here, there):
            assert not catalogue.obsolete, f"{language}: {HOW}"
            assert not [message.id for message in catalogue if message.id and message.fuzzy]


@each_package
def test_whole_languages_lack_nothing(package: Path) -> None:
    """No string is empty, in any plural form."""
    for language in WHOLE:
        for message in read(catalogues(package)[language]):
            assert all(forms(message.string)), f"{language}: {message.id!r}: {HOW}"


def test_other_languages_have_the_names() -> None:
    """They have the names of the app, the model and its fields."""
    names = ("Sequences", "sequence", "sequences", "name", "last number")
    for language in NAMES_ONLY:
        translated = strings(read(catalogues(PACKAGES[0])[language]))
        assert all(((name,), None) in translated for name in names), language


@each_package
def test_placeholders_are_kept(package: Path, copy: Path) -> None:
    """gettext's own check of the format strings accepts each catalogue."""
    call_command("compilemessages", verbosity=0)
    assert set(catalogues(copy, "mo")) == set(catalogues(package))


@each_package
def test_compiled_catalogues_are_current(package: Path) -> None:
    """The compiled catalogues have the same strings as the sources."""
    compiled = catalogues(package, "mo")
    assert set(compiled) == set(catalogues(package))
    for language, path in catalogues(package).items():
        assert strings(read(compiled[language])) == strings(read(path)), f"{language}: {HOW}"


@each_package
def test_translations_without_a_review_say_so(package: Path) -> None:
    """Each catalogue begins with what its users should know about it."""
    for language, path in catalogues(package).items():
        about = path.read_text().splitlines()[1]
        assert about.startswith("# "), language
        if language in WHOLE:
            assert about.startswith("# Not yet reviewed by a native speaker of "), language


# What the user sees


@pytest.fixture
def client(db: None, settings: Any) -> Iterator[Client]:
    """Return the client of a superuser, on a site that uses the browser's language."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    Counter.objects.create(name="invoices", last=12)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    with override("en-us"):  # the middleware leaves the language as it is for what comes after
        yield client


@pytest.mark.parametrize(
    ("language", "value", "sentence"),
    [
        ("de", 20, "Die 8 Nummern von 13 bis 20 werden nicht vergeben"),
        ("de-at", 11, "Die Nummer 12 wird ein zweites Mal vergeben."),
        ("pl", 13, "Numer 13 nie zostanie nadany"),
        ("pl", 15, "3 numery od 13 do 15 nie zostaną nadane"),
        ("pl", 17, "5 numerów od 13 do 17 nie zostanie nadanych"),
        ("pl", 34, "22 numery od 13 do 34 nie zostaną nadane"),
        ("fr", 2, "Les 10 numéros de 3 à 12 seront attribués une seconde fois."),
        ("pt-br", 20, "Os 8 números de 13 a 20 não serão atribuídos"),
        ("tr", 20, "The 8 numbers from 13 to 20 will not be given"),
    ],
)
def test_the_page_that_sets_a_number(
    client: Client, language: str, value: int, sentence: str
) -> None:
    """The warning has the right form of the plural; what isn't translated is English."""
    page = "/admin/sequences_core/counter/invoices/set/"
    answer = client.post(page, {"value": value}, headers={"accept-language": language})
    assert sentence in answer.content.decode()


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("en", ["Sequences", "last number"]),
        ("de", ["Nummernkreise", "letzte Nummer"]),
        ("pl", ["Serie numeracji", "ostatni numer"]),
        ("ja", ["シーケンス", "最新値"]),
        ("tr", ["Diziler", "son değer"]),
    ],
)
def test_names_of_the_model(language: str, names: list[str]) -> None:
    """The admin's index and list have them."""
    with override(language):
        app = str(Counter._meta.app_config.verbose_name)
        assert [app, str(Counter._meta.get_field("last").verbose_name)] == names
