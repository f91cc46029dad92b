"""Allow-lists: which models, tasks and client addresses a key or an account may use. Empty means all.

Plain Python: the path of a call asks these questions from a cached value, without a query.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
MOST_ENTRIES = 200  # of one list; every call may read it
_MODEL = re.compile(r"[\w.*-]{1,96}(/[\w.*-]{1,96})?", re.ASCII)
_TASK = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What one key, or one account, is limited to. `scope` ("key" or "account") is told in refusals."""

    scope: str
    models: tuple[str, ...] = ()  # ids, with * for any run of characters: meta-llama/*
    tasks: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it allows everything."""
        return not (self.models or self.tasks or self.networks)

    def allows_model(self, model_id: str) -> bool:
        """Tell whether the model may be called. Its id is compared as the catalog writes it."""
        return not self.models or any(_pattern(entry).fullmatch(model_id) for entry in self.models)

    def allows_task(self, task: str) -> bool:
        """Tell whether the task may be called."""
        return not self.tasks or task in self.tasks

    def allows_address(self, address: str | None) -> bool:
        """Tell whether a call may come from an address. One that is not known is allowed nowhere."""
        if not self.networks:
            return True
        found = read_address(address)
        return found is not None and any(found in network for network in self.networks)


def read_address(text: str | None) -> Address | None:
    """Read an IP address, or return None. IPv4 inside IPv6 (::ffff:192.0.2.1) is IPv4."""
    try:
        found = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def read_networks(entries: list[str]) -> tuple[Network, ...]:
    """Read addresses and CIDR ranges. ValueError for anything else, host bits among it."""
    return tuple(ip_network(entry) for entry in entries)


@lru_cache(maxsize=10_000)
def _pattern(entry: str) -> re.Pattern[str]:
    return re.compile(re.escape(entry).replace(r"\*", ".*"))


# --- What the columns accept ---------------------------------------------------------------------


def validate_models(value: Any) -> None:
    """ValidationError unless it is a list of model ids or patterns."""
    for entry in _texts(value):
        if not _MODEL.fullmatch(entry):
            words = _("“%(entry)s” is no model. Write an id such as org/name, or a pattern such as org/*.")
            raise ValidationError(words, params={"entry": entry})


def validate_tasks(value: Any) -> None:
    """ValidationError unless it is a list of task names."""
    for entry in _texts(value):
        if not _TASK.fullmatch(entry):
            words = _("“%(entry)s” is no task. Write it like text-generation.")
            raise ValidationError(words, params={"entry": entry})


def validate_networks(value: Any) -> None:
    """ValidationError unless it is a list of addresses and CIDR ranges."""
    for entry in _texts(value):
        try:
            ip_network(entry)
        except ValueError:
            words = _("“%(entry)s” is no address range. Write it like 203.0.113.0/24 or 2001:db8::/32.")
            raise ValidationError(words, params={"entry": entry}) from None


def validate_time_zone(value: str) -> None:
    """ValidationError unless it is the name of a time zone, as IANA writes it."""
    if value not in available_timezones():
        words = _("“%(zone)s” is no time zone. Write it like Asia/Seoul or UTC.")
        raise ValidationError(words, params={"zone": value})
    ZoneInfo(value)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValidationError(_("Write a list of texts."))
    if len(value) > MOST_ENTRIES:
        raise ValidationError(_("Write at most %(most)s entries."), params={"most": MOST_ENTRIES})
    return value
