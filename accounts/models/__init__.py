"""The room's rows, one file per subject."""

from accounts.models.mail import OutgoingMail
from accounts.models.people import Account, ApiKey, Membership, Role, User
from accounts.models.webhooks import WebhookDelivery, WebhookEndpoint

__all__ = [
    "Account",
    "ApiKey",
    "Membership",
    "OutgoingMail",
    "Role",
    "User",
    "WebhookDelivery",
    "WebhookEndpoint",
]
