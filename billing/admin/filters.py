"""Filters for lists of large tables: they ask for a value instead of offering all that occur."""

from datetime import UTC
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import FieldTextFilter, RangeDateTimeFilter
from unfold.utils import parse_datetime_str


class CodeFilter(FieldTextFilter):  # type: ignore[misc]  # unfold ships no types
    """A text to match exactly: a filter that offers the values would read the whole table for them."""

    def __init__(
        self, field: Any, request: Any, params: Any, model: Any, model_admin: Any, field_path: str
    ) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        self.lookup_kwarg = f"{field_path}__exact"
        self.lookup_val = params.pop(self.lookup_kwarg, None)
        if self.value():
            self.used_parameters = {self.lookup_kwarg: self.value()}

    def expected_parameters(self) -> list[str]:
        """Its one parameter."""
        return [f"{self.field_path}__exact"]


class TimeFilter(RangeDateTimeFilter):  # type: ignore[misc]  # unfold ships no types
    """From a moment to a moment, in UTC; a day alone means its beginning."""

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows in the range; say so where an end cannot be read, instead of showing everything."""
        for end, lookup in (("from", "gte"), ("to", "lte")):
            day = self.used_parameters.get(f"{self.parameter_name}_{end}_0")
            if not day:
                continue
            time = self.used_parameters.get(f"{self.parameter_name}_{end}_1") or "00:00:00"
            at = parse_datetime_str(f"{day} {time}")
            if at is None:
                messages.warning(request, _("Write a moment as 2026-11-30 and 23:59:00."))
                return rows.none()
            rows = rows.filter(**{f"{self.field_path}__{lookup}": at.replace(tzinfo=UTC)})
        return rows
