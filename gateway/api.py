"""The call's endpoints as DRF describes them, and the ones that DRF answers: the list of models.

The lean entry (`gateway/entry.py`) takes POSTs to the call paths before Django sees them. The classes here
are their contract: they put each into the OpenAPI document, answer OPTIONS, and refuse other verbs.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway import errors, schema  # noqa: F401 - schema registers itself
from gateway.catalog import Catalog, Listed, Way, load_catalog, load_shown_models

MILLION = 1_000_000


class MessageSerializer(serializers.Serializer[Any]):
    """One turn of a chat."""

    role = serializers.ChoiceField(choices=["system", "user", "assistant", "tool"])
    content = serializers.CharField()


class ChatSerializer(serializers.Serializer[Any]):
    """A chat. Other fields of OpenAI's pass through to the model's server."""

    model = serializers.CharField(help_text="A model id from GET /v1/models.")
    messages = MessageSerializer(many=True)
    stream = serializers.BooleanField(required=False, help_text="Answer as server-sent events.")
    max_tokens = serializers.IntegerField(
        required=False, min_value=1, help_text="At most your plan's own limit."
    )
    temperature = serializers.FloatField(required=False)


class CompletionSerializer(serializers.Serializer[Any]):
    """A prompt to go on from."""

    model = serializers.CharField()
    prompt = serializers.CharField()
    stream = serializers.BooleanField(required=False)
    max_tokens = serializers.IntegerField(required=False, min_value=1)


class EmbeddingSerializer(serializers.Serializer[Any]):
    """Text to embed."""

    model = serializers.CharField()
    input = serializers.ListField(child=serializers.CharField(), help_text="A text, or a list of texts.")
    encoding_format = serializers.ChoiceField(choices=["float", "base64"], required=False)


class TaskSerializer(serializers.Serializer[Any]):
    """A Hugging Face task."""

    inputs = serializers.JSONField(help_text="What the task takes: a text, or an object.")
    parameters = serializers.DictField(required=False)


class ErrorObjectSerializer(serializers.Serializer[Any]):
    """What went wrong and what to do next."""

    message = serializers.CharField()
    type = serializers.CharField()
    code = serializers.CharField()
    param = serializers.CharField(allow_null=True)
    request_id = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """Every body of 400 and up."""

    error = ErrorObjectSerializer()


class ModelSerializer(serializers.Serializer[Any]):
    """A model, in the shape of the Hugging Face router's list."""

    id = serializers.CharField()
    object = serializers.CharField(default="model")
    created = serializers.IntegerField(help_text="Unix seconds.")
    owned_by = serializers.CharField()
    tasks = serializers.ListField(child=serializers.CharField())
    context_length = serializers.IntegerField(allow_null=True)
    source = serializers.CharField(  # type: ignore[assignment]
        help_text="Where the row comes from: `shipped`, `hub`, or a dated snapshot."
    )
    providers = serializers.ListField(child=serializers.DictField())


class ModelListSerializer(serializers.Serializer[Any]):
    """OpenAI's list."""

    object = serializers.CharField(default="list")
    data = ModelSerializer(many=True)  # type: ignore[assignment]


REFUSALS = {
    status: OpenApiResponse(ErrorSerializer, description=words)
    for status, words in {
        400: "The body is not what the endpoint takes.",
        401: "The API key is missing, unknown, revoked or expired.",
        402: "Credit, budget or the month's calls are used up.",
        403: "The plan does not allow it, or the account is suspended.",
        404: "There is no such model, or no such quote.",
        409: "The first request with this Idempotency-Key still runs, or a call has redeemed the quote already.",
        410: "The quote has expired.",
        413: "The body is larger than the plan allows.",
        422: "The model's server refuses the body, the Idempotency-Key was used for another request or its answer is "
        "gone, or the quote is for another call.",
        429: "Too many requests or tokens a minute, or too many calls at once. See Retry-After.",
        502: "The model's server failed. Not charged.",
        503: "Limits cannot be checked, or the model is loading. See Retry-After.",
        504: "The model's server did not answer in time. Not charged.",
    }.items()
}


HEADERS = [
    OpenApiParameter(name, str, OpenApiParameter.HEADER, description=words)
    for name, words in {
        "Idempotency-Key": "Up to 255 ASCII characters. The same request with the same key within 24 hours is charged "
        "once: its repeat gets the first answer.",
        "X-Max-Cost": "The most that this call may cost, in your currency, such as 0.01. The answer is made shorter to "
        "keep to it, or the call is refused.",
        "X-Turnpike-Quote": "The id of a quote for this call: POST /api/v1/quotes.",
    }.items()
]


class CallContract(APIView):
    """An endpoint that the lean entry answers. Reached only by verbs that it does not take."""

    http_method_names = ["post", "options"]

    def post(self, request: Request, **kwargs: Any) -> Response:
        """Refuse: Django was started without the lean entry in front (WSGI, runserver), which calls need."""
        raise errors.Refusal(
            503, "asgi_required", "Calls need the ASGI entry. Start gateway.asgi:application."
        )


def contract(name: str, body: type[serializers.Serializer[Any]], summary: str, words: str) -> Any:
    """Return a `post` of its own with its OpenAPI description: extend_schema writes onto the function."""

    def post(self: CallContract, request: Request, **kwargs: Any) -> Response:
        return CallContract.post(self, request, **kwargs)

    answers = {200: OpenApiResponse(description="The model's answer, as its server sent it.")} | REFUSALS
    return extend_schema(
        operation_id=name, request=body, responses=answers, summary=summary, description=words, tags=["Calls"],
        parameters=HEADERS,
    )(post)  # fmt: skip


class ChatCompletions(CallContract):
    """POST /v1/chat/completions."""

    post = contract(
        "chat_completions",
        ChatSerializer,
        "Chat with a model",
        "Other fields of OpenAI's pass through. With `stream` the answer comes as server-sent events and ends "
        "with `data: [DONE]`; usage is in the last event when you set `stream_options.include_usage`.",
    )


class Completions(CallContract):
    """POST /v1/completions."""

    post = contract(
        "completions",
        CompletionSerializer,
        "Go on from a prompt",
        "The model writes on where the prompt ends.",
    )


class Embeddings(CallContract):
    """POST /v1/embeddings."""

    post = contract(
        "embeddings", EmbeddingSerializer, "Embed texts", "One vector for each text, in their order."
    )


class HuggingFaceModel(CallContract):
    """POST /hf-inference/models/{model_id}."""

    post = contract(
        "hf_model",
        TaskSerializer,
        "Run a model's own task",
        "The Hugging Face form. The model's first task is meant, or the one that the body's shape shows.",
    )


class HuggingFaceTask(CallContract):
    """POST /hf-inference/models/{model_id}/pipeline/{task}."""

    post = contract(
        "hf_task",
        TaskSerializer,
        "Run one of a model's tasks",
        "The Hugging Face form with the task named, such as `feature-extraction` or `sentence-similarity`.",
    )


class Models(APIView):
    """GET /v1/models."""

    @extend_schema(
        operation_id="models", summary="List the models that you can call", tags=["Models"],
        description="With `all=true` also those of the catalog that this installation cannot call at the moment: "
        "their providers have the status `unavailable`.",
        parameters=[OpenApiParameter("all", bool, description="Also list what cannot be called.")],
        responses={200: ModelListSerializer, 401: REFUSALS[401]},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return every model, its tasks and its prices."""
        catalog, account_id = load_catalog(), _account_id(request)
        rows = {listed.model_id: describe(catalog, listed, account_id) for listed in catalog.models.values()}
        rows = {model_id: row for model_id, row in rows.items() if row["providers"]}
        if request.query_params.get("all") == "true":
            shown = {listed.model_id: describe_shown(catalog, listed) for listed in load_shown_models()}
            rows = shown | rows
        return Response({"object": "list", "data": [rows[model_id] for model_id in sorted(rows)]})


class Model(APIView):
    """GET /v1/models/{org}/{name}."""

    @extend_schema(
        operation_id="model", summary="Look at one model", tags=["Models"],
        parameters=[OpenApiParameter("model_id", str, OpenApiParameter.PATH)],
        responses={200: ModelSerializer, 401: REFUSALS[401], 404: REFUSALS[404]},
    )  # fmt: skip
    def get(self, request: Request, model_id: str) -> Response:
        """Return one model. The slash in its id may come encoded, as openai's SDKs send it."""
        catalog = load_catalog()
        row = describe(catalog, catalog.find(model_id), _account_id(request))
        if not row["providers"]:
            raise errors.model_not_found(model_id)
        return Response(row)


def _account_id(request: Request) -> str | None:
    """The account that asks, by key or signed in: its own upstreams are shown to nobody else."""
    membership = getattr(request, "membership", None)
    account = getattr(request.user, "account", None) or (membership.account if membership else None)
    return str(account.pk) if account else None


def describe(catalog: Catalog, listed: Listed, account_id: str | None = None) -> dict[str, Any]:
    """Return a model in the shape of the router's list, prices in USD per million tokens or per unit.

    With the ways that are sold: a way without a price is not.
    """
    own = (None, account_id)
    ways = [way for way in listed.ways if way.server.account_id in own and catalog.price(listed, way, "USD")]
    return _describe(catalog, listed, ways)


def describe_shown(catalog: Catalog, listed: Listed) -> dict[str, Any]:
    """Return a model that is shown, in the same shape, with every way that anybody knows of."""
    return _describe(catalog, listed, [replace(way, live=False) for way in listed.ways])


def _describe(catalog: Catalog, listed: Listed, ways: Iterable[Way]) -> dict[str, Any]:
    return {
        "id": listed.model_id,
        "object": "model",
        "created": int(listed.created_at.timestamp()),
        "owned_by": listed.model_id.partition("/")[0],
        "tasks": list(listed.tasks),
        "context_length": listed.context_length,
        "source": listed.source,
        "providers": [_describe_way(catalog, listed, way) for way in ways],
    }


def _describe_way(catalog: Catalog, listed: Listed, way: Way) -> dict[str, Any]:
    described: dict[str, Any] = {"provider": way.name, "status": "live" if way.live else "unavailable"}
    if way.context_length or listed.context_length:
        described["context_length"] = way.context_length or listed.context_length
    if pin := catalog.price(listed, way, "USD"):
        per = {unit: MILLION if unit.endswith("_token") else 1 for unit in pin.rates}
        prices = {unit.removesuffix("_token"): float(rate * per[unit]) for unit, rate in pin.rates.items()}
        described |= {"pricing": prices, "price_version": pin.version_id}
    return described
