"""Whether the catalog or the prices have changed, without reading them: what a process asks twice a minute.

Reading all takes tens of milliseconds of Python, in which calls wait; the database takes one, for thousands of rows.
"""

from django.db import connection

from billing.models import PriceVersion, UnitPrice
from gateway.models import CatalogModel, Serving, Upstream

# Rows that come into force, or leave it, by time alone.
_BY_TIME = {
    CatalogModel: "deprecated_at IS NULL OR deprecated_at > clock_timestamp()",
    PriceVersion: "effective_from <= clock_timestamp()",
}
_READ = (Upstream, CatalogModel, Serving, PriceVersion, UnitPrice)  # by `load_catalog`


def catalog_fingerprint() -> tuple[object, ...]:
    """Return what differs whenever any row that `load_catalog` reads is another, or comes into force. One query."""
    sums = [
        f"(SELECT sum(hashtextextended(t::text, 0)) FROM {model._meta.db_table} t"  # noqa: S608 - names of ours
        f" WHERE {_BY_TIME.get(model, 'true')})"
        for model in _READ
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(sums)}")
        return tuple(cursor.fetchone())
