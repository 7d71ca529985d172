"""The admin of sequences. Users confirm changes, which are made under the lock and logged."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import AdminErrorList, AdminForm
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote, unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connections, router, transaction
from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override

from .admin_errors import ExplainingAdmin
from .admin_forms import Change, Delete, Rename, Set
from .arguments import check_sequence_name
from .exceptions import DurabilityUnknown, SequenceLocked
from .locking import locked
from .models import Counter
from .taking import database_errors
from .users import fields_using, known_fields

CHANGES: tuple[type[Change], ...] = (Set, Rename, Delete)

PATIENCE = 3
"""The seconds that a page waits for a transaction that has locked the counter."""

View = Callable[..., Any]


class FieldFilter(admin.SimpleListFilter):
    """Filter the sequences by the field that uses them."""

    title = gettext_lazy("field")
    parameter_name = "field"
    no_field = "-"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        fields = known_fields(router.db_for_write(Counter))
        return [*((field, field) for field in fields), (self.no_field, _("no field"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if (chosen := self.value()) is None:
            return None
        names = list(queryset.values_list("pk", flat=True))
        users = fields_using(names, router.db_for_write(Counter))
        found = [name for name in names if chosen in (users[name] or [self.no_field])]
        return queryset.filter(pk__in=found)


@admin.register(Counter)
class CounterAdmin(ExplainingAdmin):
    """The admin of sequences: sets, renames and deletes one at a time, while it is locked."""

    list_display = ("name", "last", "used_by")
    ordering = ("name",)
    list_filter = (FieldFilter,)
    search_fields = ("name", "lowercase_name")
    fields = readonly_fields = ("name", "last", "used_by")
    actions = None  # each change shows the consequences for one sequence
    change_form_template = "admin/sequences_core/counter.html"

    class Media:
        css: ClassVar = {"all": ["sequences_core/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False, because the first use of a sequence creates it."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False, because Django's form would write without locking the counter."""
        return False

    def has_set_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may set last numbers."""
        return self._has_permission(request, "set_counter")

    def has_rename_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may rename sequences, by the permission to change them."""
        return self._has_permission(request, "change_counter")

    @admin.display(description=gettext_lazy("used by"))
    def used_by(self, counter: Counter) -> str:
        """Return the fields that use the sequence."""
        users: list[str] | None = getattr(counter, "users", None)
        if users is None:
            users = self._users([counter.name])[counter.name]
        return ", ".join(users)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search without regard to case on every database; MySQL's collation doesn't allow it."""
        queryset = queryset.alias(lowercase_name=Lower("name"))
        found, duplicates = super().get_search_results(request, queryset, search_term.lower())
        # LOWER() may convert only ASCII, so search for the exact text, too.
        as_written = super().get_search_results(request, queryset, search_term)[0]
        return found | as_written, duplicates

    def get_paginator(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> Any:
        """Exclude other sequences, whose names differ only in case, from a sequence's history."""
        if queryset.model is LogEntry:
            assert request.resolver_match is not None
            queryset = _of(unquote(request.resolver_match.kwargs["object_id"]), queryset)
        return super().get_paginator(request, queryset, *args, **kwargs)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Find the fields that use the sequences of the page, all at once."""
        found = super().get_changelist_instance(request)
        users = self._users([counter.name for counter in found.result_list])
        for counter in found.result_list:
            counter.users = users[counter.name]
        return found

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the sequence, with a link for each change that the user may make."""
        links = [
            (kind.title, self._url(kind.name, object_id))
            for kind in (Set, Rename)  # Django's page already links to the deletion
            if self._may(request, kind)
        ]
        extra_context = {"change_links": links} | (extra_context or {})
        return super().change_view(request, object_id, form_url, extra_context)

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of the changes before Django's, so that the deletion page is ours."""
        return [*self._change_urls(), *super().get_urls()]

    def _change_urls(self) -> Iterator[URLPattern]:
        for kind in CHANGES:
            view: View = functools.partial(self._change, kind=kind)
            view = self.admin_site.admin_view(view)
            for alias in connections:  # a change has a transaction of its own
                view = transaction.non_atomic_requests(using=alias)(view)
            name = f"{self.opts.app_label}_{self.opts.model_name}_{kind.name}"
            yield path(f"<path:object_id>/{kind.name}/", view, name=name)

    def _change(self, request: HttpRequest, object_id: str, kind: type[Change]) -> HttpResponse:
        """Show the form of a change, then its confirmation, then make the change."""
        if not self._may(request, kind):
            raise PermissionDenied
        alias, name = router.db_for_write(Counter), unquote(object_id)
        data: Mapping[str, Any] | None = request.POST if request.method == "POST" else None
        try:
            with database_errors(connections[alias]):
                form = kind(_counter(name, alias), alias, data)
                if form.is_complete() and form.is_confirmed():
                    problem = self._make(request, form)
                    if not problem:
                        return self._made(request, form)
                    messages.warning(request, problem)
                    data = {key: value for key, value in form.data.items() if key != "again"}
                    form = kind(_counter(name, alias), alias, data)
                return self._change_page(request, form)
        except Counter.DoesNotExist:
            messages.warning(request, _("There is no sequence “%(name)s”.") % {"name": name})
            return HttpResponseRedirect(self._url("changelist"))
        except DatabaseError as error:
            return self.database_error(request, error)

    def _make(self, request: HttpRequest, form: Change) -> str:
        """Make the change and log it; return the reason if it wasn't made, else ""."""
        counter, after = form.counter, form.after()
        free = after.name if after and after.name != counter.name else None
        try:
            with locked(counter.name, free=free, timeout=PATIENCE, using=form.using) as last:
                if not str(last) == str(counter.last) == form.data.get("shown"):
                    return _(
                        "The sequence has changed since you were asked: its last number is "
                        "%(last)s now. Nothing was changed."
                    ) % {"last": last}
                form.make()
                self._record(request, form)
        except SequenceLocked:
            return _(
                "Nothing was changed, because another transaction has locked the sequence for more "
                "than %(seconds)s seconds. Try again later."
            ) % {"seconds": PATIENCE}
        except DurabilityUnknown as error:  # the change was committed
            messages.warning(request, str(error))
        except (DatabaseError, ValueError) as error:
            return _("The database refused the change: %(error)s") % {"error": error}
        return ""

    def _record(self, request: HttpRequest, form: Change) -> None:
        """Log the change in the admin's history, in the language of the site."""
        counter, after = form.counter, form.after()
        if after is None:
            self.log_deletions(request, [counter])  # type: ignore[arg-type] # it iterates
            return
        if after.name != counter.name:  # move the history to the new name
            content_type = ContentType.objects.get_for_model(Counter)
            entries = LogEntry.objects.filter(content_type=content_type, object_id=counter.name)
            found = [entry.pk for entry in _of(counter.name, entries)]
            LogEntry.objects.filter(pk__in=found).update(object_id=after.name)
        with override(settings.LANGUAGE_CODE):
            self.log_change(request, after, form.done())

    def _made(self, request: HttpRequest, form: Change) -> HttpResponse:
        messages.success(request, form.done())
        after = form.after()
        where = self._url("change", quote(after.name)) if after else self._url("changelist")
        return HttpResponseRedirect(where)

    def _change_page(self, request: HttpRequest, form: Change) -> HttpResponse:
        """Return the page with the form, or the page that asks for confirmation."""
        confirming = form.is_complete()
        visible = form.ticks() if confirming else form.asked
        form_like: Any = form  # the stubs require a ModelForm; Django doesn't
        fieldsets: Any = [(None, {"fields": visible})] if visible else []
        context = {
            **self.admin_site.each_context(request),
            "title": form.title,
            "subtitle": form.counter.name,
            "opts": self.opts,
            "original": form.counter,
            "has_view_permission": True,
            "media": self.media + form.media,
            "adminform": AdminForm(form_like, fieldsets, {}, model_admin=self),
            "errors": AdminErrorList(form_like, []),
            "form": form,
            "confirming": confirming,
            "hidden": [form[name] for name in form.asked] if confirming else [],
            "back": self._url("change", quote(form.counter.name)),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/sequences_core/change.html", context)

    def _may(self, request: HttpRequest, kind: type[Change]) -> bool:
        has_permission: Callable[..., bool] = getattr(self, f"has_{kind.name}_permission")
        return self.has_view_permission(request) and has_permission(request)

    def _has_permission(self, request: HttpRequest, codename: str) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{codename}")

    def _url(self, name: str, *args: str) -> str:
        pattern = f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(pattern, args=args, current_app=self.admin_site.name)

    def _users(self, names: list[str]) -> dict[str, list[str]]:
        return fields_using(names, router.db_for_write(Counter))


def _of(name: str, entries: QuerySet[LogEntry]) -> list[LogEntry]:
    """Return the entries of this sequence. MySQL's collation of ``object_id`` ignores case."""
    return [entry for entry in entries if entry.object_id == name]


def _counter(name: str, using: str) -> Counter:
    """Return the counter; raise Counter.DoesNotExist also for an invalid name."""
    try:
        check_sequence_name(name)
    except ValueError as error:
        raise Counter.DoesNotExist from error
    return Counter.objects.using(using).get(pk=name)
