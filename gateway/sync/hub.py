"""Makes the document from the network: which models, from the Hub; status, speed and prices, from the router.

Both lists are public, and no token is sent for them. Off the hot path: the nightly task and `sync_catalog`.
"""

from collections.abc import Iterator
from typing import Any

import httpx2
from django.conf import settings
from huggingface_hub import HfApi, get_session, set_client_factory
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.inference._providers import PROVIDERS

# The most downloaded of each provider: some serve tens of thousands of fine-tunes, and every process
# holds the catalog in memory. A list that was cut is marked, so that nothing is taken for gone.
MOST_MODELS = 200
SECONDS = 20.0  # for each page


# Not reached, refused, or something that is not the Hub's: JSON of another shape, also in its errors.
_NO_ANSWER = (
    httpx2.HTTPError,
    OSError,
    OfflineModeIsEnabled,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)


class Unreachable(Exception):
    """The Hub or the router did not answer as it should. The message says which and how."""


class _Bounded(httpx2.HTTPTransport):
    """huggingface_hub waits for ever by default, request by request; so the limit is set below it."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions["timeout"] = httpx2.Timeout(SECONDS).as_dict()
        return super().handle_request(request)


def fetch_document(most: int = MOST_MODELS) -> dict[str, Any]:
    """Return the document of what is served now (form: `document.py`). Unreachable if that cannot be told."""
    set_client_factory(lambda: httpx2.Client(transport=_Bounded(), follow_redirects=True, trust_env=False))
    try:
        models, partial = _from_hub(most)
        _add_from_router(models)
    except _NO_ANSWER as failure:
        raise Unreachable(f"{type(failure).__name__}: {failure}"[:300]) from failure
    return {"source": "hub", "partial": partial, "models": list(models.values())}


def _from_hub(most: int) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return {model id: row} of every provider, and the providers whose list was cut."""
    api = HfApi(endpoint=settings.HF_ENDPOINT, token=False)
    models: dict[str, dict[str, Any]] = {}
    partial: list[str] = []
    for provider in PROVIDERS:
        found = list(
            api.list_models(
                inference_provider=provider,
                expand=["inferenceProviderMapping", "pipeline_tag", "tags"],
                sort="downloads",
                limit=most,
            )
        )
        models |= {info.id: row for info in found if (row := _row(info))["providers"]}
        if len(found) >= most:
            partial.append(provider)
    return models, partial


def _row(info: ModelInfo) -> dict[str, Any]:
    tags = info.tags or []
    licences = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    tasks = {info.pipeline_tag, "feature-extraction", "sentence-similarity", "conversational"}
    return {
        "id": info.id,
        "tags": [tag for tag in tags if tag in tasks],
        "licence": licences[0] if licences else "",
        "providers": list(_offers(info)),
    }


def _offers(info: ModelInfo) -> Iterator[dict[str, Any]]:
    """The mapping's rows. Adapters need more than a model's name, and what is staged is not served yet."""
    for mapping in info.inference_provider_mapping or []:
        if mapping.status in ("live", "error") and not mapping.adapter:
            yield {
                "provider": mapping.provider,
                "provider_id": mapping.provider_id,
                "task": mapping.task,
                "status": mapping.status,
            }


def _add_from_router(models: dict[str, dict[str, Any]]) -> None:
    """Add what the router's list knows to the rows: status, context, prices, speed; and models of its own."""
    response = get_session().get(settings.HF_ROUTER_URL + "/v1/models")
    response.raise_for_status()
    for listed in response.json()["data"]:
        row = models.setdefault(
            listed["id"], {"id": listed["id"], "tags": [], "licence": "", "providers": []}
        )
        chats = {
            offer["provider"]: offer
            for offer in row["providers"]
            if offer["task"] in ("conversational", "text-generation")
        }
        for seen in listed["providers"]:
            offer = chats.get(seen["provider"])
            if offer is None:
                offer = {"provider": seen["provider"], "provider_id": listed["id"], "task": "conversational"}
                row["providers"].append(offer)
            offer |= {name: seen[name] for name in _ROUTER_FIELDS if seen.get(name) is not None}


_ROUTER_FIELDS = ("status", "context_length", "pricing", "throughput", "first_token_latency_ms")
