"""The addresses of keys, members and settings."""

from django.urls import path

from accounts.views import keys, settings, team, webhooks

urlpatterns = [
    path("keys/", keys.key_list, name="keys"),
    path("keys/new/", keys.key_create, name="key-create"),
    path("keys/<uuid:key_id>/", keys.key_edit, name="key"),
    path("keys/<uuid:key_id>/revoke/", keys.key_revoke, name="key-revoke"),
    path("team/", team.team, name="team"),
    path("team/add/", team.member_add, name="member-add"),
    path("team/<uuid:member_id>/role/", team.member_role, name="member-role"),
    path("team/<uuid:member_id>/remove/", team.member_remove, name="member-remove"),
    path("organizations/new/", team.organization_create, name="organization-create"),
    path("switch/<uuid:account_id>/", team.account_switch, name="account-switch"),
    path("settings/", settings.person_settings, name="settings"),
    path("settings/account/", settings.account_settings, name="account-settings"),
    path("settings/webhooks/", webhooks.webhook_list, name="webhooks"),
    path("settings/webhooks/new/", webhooks.webhook_create, name="webhook-create"),
    path("settings/webhooks/<uuid:endpoint_id>/", webhooks.webhook, name="webhook"),
    path("settings/webhooks/<uuid:endpoint_id>/rotate/", webhooks.webhook_rotate, name="webhook-rotate"),
    path("settings/webhooks/<uuid:endpoint_id>/switch/", webhooks.webhook_switch, name="webhook-switch"),
    path("settings/webhooks/<uuid:endpoint_id>/test/", webhooks.webhook_test, name="webhook-test"),
    path("settings/webhooks/<uuid:endpoint_id>/remove/", webhooks.webhook_remove, name="webhook-remove"),
    path("settings/webhooks/messages/<uuid:delivery_id>/", webhooks.webhook_message, name="webhook-message"),
    path(
        "settings/webhooks/messages/<uuid:delivery_id>/again/", webhooks.webhook_again, name="webhook-again"
    ),
]
