"""The addresses of usage, plans, budget and statements."""

from django.urls import path

from billing.views import budgets, credit, overview, paying, statements, usage, webhooks

urlpatterns = [
    path("usage/", usage.usage, name="usage"),
    path("usage/export.csv", usage.usage_csv, name="usage-csv"),
    path("billing/", overview.overview, name="billing"),
    path("billing/budget/", overview.budget, name="billing-budget"),
    path("billing/budgets/", budgets.budget_list, name="budgets"),
    path("billing/budgets/new/", budgets.budget_create, name="budget-create"),
    path("billing/budgets/<uuid:budget_id>/", budgets.budget, name="budget"),
    path("billing/budgets/<uuid:budget_id>/end/", budgets.budget_end, name="budget-end"),
    path("billing/details/", overview.details, name="billing-details"),
    path("billing/paid/", paying.paid, name="billing-paid"),
    path("billing/cards/", paying.cards, name="billing-cards"),
    path("billing/plan/<slug:slug>/", overview.plan_change, name="plan-change"),
    path("billing/statements/", statements.statement_list, name="statements"),
    path("billing/statements/<uuid:statement_id>/", statements.statement_detail, name="statement"),
    path("billing/statements/<uuid:statement_id>/pdf/", statements.statement_download, name="statement-pdf"),
    path("billing/credit/", credit.credit, name="credit"),
    path("billing/credit/top-up/", credit.top_up, name="top-up"),
    path("billing/credit/automatic/", credit.auto_top_up, name="auto-top-up"),
    path(
        "billing/statements/<uuid:statement_id>/calls.csv", statements.statement_annex, name="statement-annex"
    ),
    path("billing/credit-notes/<uuid:note_id>/pdf/", statements.credit_note_download, name="credit-note-pdf"),
    path("webhooks/stripe", webhooks.stripe_webhook, name="stripe-webhook"),
]
