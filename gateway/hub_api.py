"""What Hugging Face's clients ask the Hub before a call, answered from our catalog, for HF_ENDPOINT set to here.

    GET /api/models/{id}[?expand=inferenceProviderMapping]   which task it does, and by which providers
    GET /api/models?inference_provider=…&pipeline_tag=…      which models there are
    GET /api/tasks                                           which model does a task, where none is named

In the Hub's own shapes, as huggingface_hub 2.4 (`ModelInfo`, `_check_supported_task`) and @huggingface/inference
4.13 (`getInferenceProviderMapping`) read them. Open, like the Hub's: nothing here belongs to a customer.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway.catalog import Catalog, Listed, Way, load_catalog, load_shown_models
from gateway.dialects import CHAT, COMPLETION, HF_INFERENCE, Target, can

MOST = 1000
_MAPPING = "inferenceProviderMapping"
_MODEL = OpenApiResponse(description="A model in the shape of the Hub's API.")
_EXPAND = OpenApiParameter("expand", str, many=True, description=f"Fields to return, such as `{_MAPPING}`.")


class Open(APIView):
    """Asked without a key, or with any."""

    authentication_classes = ()
    permission_classes = ()


class HubModel(Open):
    """GET /api/models/{org}/{name}."""

    @extend_schema(
        operation_id="hub_model", summary="Look at one model as the Hub shows it", tags=["Hub"],
        parameters=[OpenApiParameter("model_id", str, OpenApiParameter.PATH), _EXPAND], responses={200: _MODEL},
    )  # fmt: skip
    def get(self, request: Request, model_id: str) -> Response:
        """Return one model. The slash in its id may come encoded."""
        found = load_shown_models(Q(model_id=model_id))
        if not found:
            return _not_found(model_id)
        return Response(_document(found[0], _expanded(request), mapping_of(found[0])))


class HubModels(Open):
    """GET /api/models."""

    @extend_schema(
        operation_id="hub_models", summary="List models as the Hub does", tags=["Hub"],
        parameters=[
            OpenApiParameter("inference_provider", str, description="A provider, several by commas, or `all`."),
            OpenApiParameter("pipeline_tag", str, description="A task."),
            OpenApiParameter("search", str, description="Part of the id."),
            OpenApiParameter("limit", int, description=f"At most {MOST}."), _EXPAND,
        ],
        responses={200: _MODEL},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return the models that match, by id. The mapping is a list here, as in the Hub's lists."""
        asked = request.query_params
        limit = asked.get("limit", "")
        most = min(int(limit), MOST) if limit.isascii() and limit.isdigit() else MOST
        rows = load_shown_models(Q(model_id__icontains=asked.get("search", "")))
        found = [listed for listed in sorted(rows, key=lambda row: row.model_id) if _matches(listed, request)]
        fields = _expanded(request)
        return Response([_document(listed, fields, _mapping_list(listed)) for listed in found[:most]])


class HubTasks(Open):
    """GET /api/tasks."""

    @extend_schema(
        operation_id="hub_tasks", summary="Which models do which task", tags=["Hub"],
        responses={200: OpenApiResponse(description="{task: {id, models, widgetModels}}")},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return each task with the models for it, the first of which clients take where none is named."""
        tasks: dict[str, list[str]] = {}
        catalog = load_catalog()
        for listed in sorted(catalog.models.values(), key=_position):
            if _on_hf_inference(catalog, listed):
                tasks.setdefault(pipeline_tag(listed), []).append(listed.model_id)
        return Response(
            {
                task: {"id": task, "models": [{"id": name} for name in names], "widgetModels": names[:1]}
                for task, names in sorted(tasks.items())
            }
        )


def pipeline_tag(listed: Listed) -> str:
    """Return the one task that the Hub says of a model. Chat is text generation there, tagged conversational."""
    return COMPLETION if listed.tasks[0] == CHAT else listed.tasks[0]


def mapping_of(listed: Listed) -> dict[str, dict[str, Any]]:
    """Return {provider: its row}, live ones first: clients without a provider of their own take the first.

    Our own servers are reached at /hf-inference/…, so that is what they are called here.
    """
    mapping: dict[str, dict[str, Any]] = {}
    for way in sorted(listed.ways, key=lambda way: (not way.live, way.server.position, way.name)):
        row = {
            "status": "live" if way.live else "error",
            "providerId": way.provider_id or listed.model_id,
            # One task a provider, as on the Hub: chat, of a model that also completes.
            "task": way.task or (CHAT if CHAT in listed.tasks else listed.tasks[0]),
        }
        mapping.setdefault(way.provider or HF_INFERENCE, row)
    return mapping


def _mapping_list(listed: Listed) -> list[dict[str, Any]]:
    return [
        {"provider": provider, "hfModelId": listed.model_id} | row
        for provider, row in mapping_of(listed).items()
    ]


def _document(listed: Listed, fields: frozenset[str], mapping: Any) -> dict[str, Any]:
    """Return the model, or of it what was asked for. Counts that only the Hub knows are left out."""
    tags = dict.fromkeys([pipeline_tag(listed), *listed.tasks])
    licence = [f"license:{listed.licence}"] if listed.licence else []
    whole = {
        "id": listed.model_id,
        "modelId": listed.model_id,
        "author": listed.model_id.rpartition("/")[0] or None,
        "pipeline_tag": pipeline_tag(listed),
        "tags": [*tags, *licence],
        "private": False,
        "gated": False,
        "disabled": False,
        "createdAt": f"{listed.created_at:%Y-%m-%dT%H:%M:%S}.000Z",
        "siblings": [],
    }
    if not fields:
        return whole
    return {name: value for name, value in (whole | {_MAPPING: mapping}).items() if name in fields | {"id"}}


def _expanded(request: Request) -> frozenset[str]:
    """The fields asked for: `expand=a&expand=b` (Python), `expand[]=a` (JavaScript), `expand=a,b` (by hand)."""
    asked = request.query_params.getlist("expand") + request.query_params.getlist("expand[]")
    return frozenset(name for value in asked for name in value.split(",") if name)


def _matches(listed: Listed, request: Request) -> bool:
    providers = {
        name for value in request.query_params.getlist("inference_provider") for name in value.split(",")
    }
    task = request.query_params.get("pipeline_tag")
    return (not task or task in (pipeline_tag(listed), *listed.tasks)) and (
        not providers or "all" in providers or bool(providers & mapping_of(listed).keys())
    )


def _on_hf_inference(catalog: Catalog, listed: Listed) -> bool:
    """Tell whether a customer who names no provider can have it: it takes Hugging Face's form, at a price."""
    return any(_takes_hf_form(listed, way) and catalog.price(listed, way, "USD") for way in listed.ways)


def _takes_hf_form(listed: Listed, way: Way) -> bool:
    target = Target(
        listed.tasks[0], listed.model_id, openai_form=False, names_task=False, provider=way.provider
    )
    return way.server.account_id is None and can(way.server.dialect, target)


def _position(listed: Listed) -> tuple[int, str]:
    return min(way.server.position for way in listed.ways), listed.model_id


def _not_found(model_id: str) -> Response:
    """Say it as the Hub does: huggingface_hub makes a RepositoryNotFoundError of the header's code."""
    words = f"There is no model {model_id[:120]!a} here. GET /api/models lists the models."
    headers: Mapping[str, str] = {"X-Error-Code": "RepoNotFound", "X-Error-Message": words}
    return Response({"error": words}, status=404, headers=dict(headers))
