"""What Hugging Face's providers serve, as one document: fetched (`hub.py`) or saved in a file, in one form.

    {"source": "hub" or "snapshot 2026-11-23", "partial": ["featherless-ai"],
     "models": [{"id": "org/name", "tags": [...], "licence": "mit", "context_length": 32768,
                 "providers": [{"provider", "provider_id", "task", "status": "live" or "error",
                                "context_length", "pricing": {"input", "output"}, "throughput",
                                "first_token_latency_ms"}]}]}

A provider's row is the router's (GET /v1/models) with the Hub's `providerId` and `task`; prices are USD per
million tokens. `partial` names providers whose list was cut: what it lacks of theirs may still be there.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from billing.pricing import Unit
from gateway.dialects import CHAT, HF_INFERENCE

# hf-inference does both of these with the models whose tags say so: huggingface_hub's `_check_supported_task`.
_TWINS = {"feature-extraction": "sentence-similarity", "sentence-similarity": "feature-extraction"}
_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
# Calls go to /{provider}/…, so a provider must not be called like a page of ours or an upstream that ships.
_OURS = "accounts admin api billing docs health i18n keys mail models organizations playground settings start"
_OURS += " static statements styleguide switch team usage v1 local hf-router fastest cheapest preferred"
_TAKEN = frozenset(_OURS.split(" "))
_DEAREST = Decimal(10_000)  # USD a million tokens: anything above is a mistake
_UNITS = {"input": Unit.INPUT_TOKEN, "output": Unit.OUTPUT_TOKEN}


@dataclass(frozen=True, slots=True)
class Offer:
    """One provider's way to one model."""

    provider: str
    provider_id: str
    task: str  # empty: every task of the model
    live: bool
    context_length: int | None
    throughput: float | None
    first_token_ms: float | None
    # What the provider asks, USD per million; empty where it does not say. Free is not said either: what
    # costs nothing today by a provider's grace, or by a slip, is not for us to sell at nothing.
    costs: Mapping[Unit, Decimal]


@dataclass(frozen=True, slots=True)
class Model:
    """One model."""

    model_id: str
    tasks: tuple[str, ...]
    context_length: int | None
    licence: str
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """What is served, as of one moment."""

    source: str
    models: Mapping[str, Model]
    partial: frozenset[str]
    problems: Mapping[str, str]  # the rows that were left out, by id, with the reason


def read_file(path: Path) -> Document:
    """Read a saved document. ValueError with one line if it is none."""
    try:
        raw = json.loads(path.read_text(), parse_float=Decimal)
    except OSError as failure:
        raise ValueError(f"{path} cannot be read: {failure.strerror}.") from None
    except ValueError:
        raise ValueError(f"{path} is not JSON. Give a file that `sync_catalog --save` wrote.") from None
    return read_document(raw)


def read_document(raw: Any) -> Document:
    """Check a document. One row that makes no sense is left out and noted; ValueError if the whole makes none."""
    if not isinstance(raw, dict) or not isinstance(raw.get("models"), list) or not raw["models"]:
        raise ValueError("This is no catalog: it must be an object with a list of `models`.")
    models: dict[str, Model] = {}
    problems: dict[str, str] = {}
    for row in raw["models"]:
        try:
            model = _model(row)
            models[model.model_id] = model
        except (ValueError, KeyError, TypeError, AttributeError) as failure:
            name = row.get("id") if isinstance(row, dict) else row
            problems[str(name)[:200]] = f"{type(failure).__name__}: {failure}"
    partial = frozenset(str(name) for name in raw.get("partial", []))
    return Document(str(raw.get("source") or "file")[:60], models, partial, problems)


def _model(row: Mapping[str, Any]) -> Model:
    model_id = row["id"]
    if not _MODEL_ID.fullmatch(model_id) or len(model_id) > 200:
        raise ValueError("this is not a model's id")
    tags = frozenset(row.get("tags", ()))
    rows = [offer for offer in row["providers"] if _may_be_called(offer["provider"])]
    if not rows:
        raise ValueError("nobody serves it")
    offers = tuple(_offer(offer, tags) for offer in rows)
    tasks = dict.fromkeys(_task(offer) for offer in rows)
    tasks |= {twin: None for task in tasks if (twin := _TWINS.get(task)) in tags and twin}
    lengths = [offer.context_length for offer in offers if offer.context_length]
    return Model(
        model_id=model_id,
        tasks=tuple(tasks),
        context_length=_length(row) or max(lengths, default=None),
        licence=str(row.get("licence") or "")[:80],
        offers=offers,
    )


def _offer(row: Mapping[str, Any], tags: frozenset[str]) -> Offer:
    provider, task = row["provider"], _task(row)
    both = provider == HF_INFERENCE and _TWINS.get(task) in tags
    return Offer(
        provider=provider,
        provider_id=str(row.get("provider_id") or "")[:200],
        task="" if both else task,
        live=row.get("status", "live") == "live",
        context_length=_length(row),
        throughput=_measure(row, "throughput"),
        first_token_ms=_measure(row, "first_token_latency_ms"),
        costs=_costs(row.get("pricing") or {}),
    )


def _may_be_called(provider: str) -> bool:
    return bool(_NAME.fullmatch(provider)) and provider not in _TAKEN


def _task(row: Mapping[str, Any]) -> str:
    task = row.get("task") or CHAT
    if not _NAME.fullmatch(task):
        raise ValueError(f"{task!r} is not a task")
    return str(task)


def _costs(pricing: Mapping[str, Any]) -> dict[Unit, Decimal]:
    costs = {
        unit: Decimal(str(pricing[name])) for name, unit in _UNITS.items() if pricing.get(name) is not None
    }
    if not all(cost.is_finite() and 0 <= cost <= _DEAREST for cost in costs.values()):
        raise ValueError(f"a price of {', '.join(map(str, costs.values()))} makes no sense")
    return costs if any(costs.values()) else {}


def _length(row: Mapping[str, Any]) -> int | None:
    value = row.get("context_length")
    return int(value) if value and 0 < int(value) < 2**31 else None


def _measure(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return float(value) if value is not None and 0 <= float(value) < 1e9 else None
