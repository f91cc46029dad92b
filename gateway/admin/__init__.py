"""The staff admin of the catalog: models, the ways to them, the upstreams, and what changed."""

from gateway.admin import models, upstreams, ways

__all__ = ["models", "upstreams", "ways"]
