"""Every address that Django answers. Calls are answered before it: see gateway/entry.py."""

from django.urls import include, path, re_path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView

from gateway import (
    api,
    api_access,
    api_account,
    api_budgets,
    api_invoices,
    api_keys,
    api_limits,
    api_media,
    api_members,
    api_quotes,
    api_usage,
    api_webhooks,
    health,
    hub_api,
    metrics,
    reference,
)
from gateway.admin_site import admin_site

_HF_MODEL = r"^hf-inference/models/(?P<model_id>[\w.-]+(?:/[\w.-]+)?)"

urlpatterns = [
    # The call's endpoints, as DRF describes them
    path("v1/chat/completions", api.ChatCompletions.as_view()),
    path("v1/completions", api.Completions.as_view()),
    path("v1/embeddings", api.Embeddings.as_view()),
    path("v1/responses", api_media.Responses.as_view()),
    path("v1/images/generations", api_media.Images.as_view()),
    path("v1/audio/speech", api_media.Speech.as_view()),
    path("v1/audio/transcriptions", api_media.Transcriptions.as_view()),
    path("v1/models", api.Models.as_view(), name="v1-models"),
    path("v1/models/<path:model_id>", api.Model.as_view(), name="model"),
    re_path(_HF_MODEL + r"$", api.HuggingFaceModel.as_view()),
    re_path(_HF_MODEL + r"/pipeline/(?P<task>[\w-]+)$", api.HuggingFaceTask.as_view()),
    # The management API
    path("api/v1/account", api_account.OneAccount.as_view(), name="api-account"),
    path("api/v1/plans", api_account.Plans.as_view(), name="api-plans"),
    path("api/v1/members", api_members.Members.as_view(), name="api-members"),
    path("api/v1/members/<uuid:member_id>", api_members.OneMember.as_view(), name="api-member"),
    path("api/v1/usage", api_usage.Usage.as_view(), name="api-usage"),
    path("api/v1/requests", api_usage.Requests.as_view(), name="api-requests"),
    path("api/v1/requests/<uuid:request_id>", api_usage.OneRequest.as_view(), name="api-request"),
    path("api/v1/invoices", api_invoices.Invoices.as_view(), name="api-invoices"),
    path("api/v1/invoices/<uuid:invoice_id>", api_invoices.OneInvoice.as_view(), name="api-invoice"),
    path("api/v1/limits", api_limits.Limits.as_view(), name="api-limits"),
    path("api/v1/budgets", api_budgets.Budgets.as_view(), name="api-budgets"),
    path("api/v1/budgets/<uuid:budget_id>", api_budgets.OneBudget.as_view(), name="api-budget"),
    path("api/v1/keys", api_keys.Keys.as_view(), name="api-keys"),
    path("api/v1/keys/<uuid:key_id>", api_keys.OneKey.as_view(), name="api-key"),
    path("api/v1/quotes", api_quotes.Quotes.as_view()),
    path("api/v1/quotes/<uuid:quote_id>", api_quotes.OneQuote.as_view()),
    path("api/v1/webhooks", api_webhooks.Webhooks.as_view(), name="api-webhooks"),
    path("api/v1/webhooks/<uuid:endpoint_id>", api_webhooks.OneWebhook.as_view(), name="api-webhook"),
    path(
        "api/v1/webhooks/<uuid:endpoint_id>/deliveries",
        api_webhooks.Deliveries.as_view(),
        name="api-deliveries",
    ),
    re_path(r"^api/v1(/|$)", api_access.Unknown.as_view()),  # after all that are known
    # What Hugging Face's clients ask the Hub first
    path("api/models", hub_api.HubModels.as_view()),
    path("api/models/<path:model_id>", hub_api.HubModel.as_view()),
    path("api/tasks", hub_api.HubTasks.as_view()),
    # What describes them
    path(
        "api/openapi.json",
        SpectacularAPIView.as_view(permission_classes=[], authentication_classes=[]),
        name="openapi",
    ),
    path("docs/", reference.page, name="docs"),
    # Screens
    path("accounts/", include("allauth.urls")),
    path("", include("gateway.page_urls")),
    path("", include("accounts.urls")),
    path("", include("billing.urls")),
    path("i18n/setlang/", set_language, name="set_language"),
    path("admin/", admin_site.urls),
    # Health
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", metrics.metrics),
]
