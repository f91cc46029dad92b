"""The catalog's rows: models, upstreams, and who serves what."""

from gateway.models.catalog import CatalogChange, CatalogModel, Serving
from gateway.models.upstreams import Dialect, Upstream

__all__ = ["CatalogChange", "CatalogModel", "Dialect", "Serving", "Upstream"]
