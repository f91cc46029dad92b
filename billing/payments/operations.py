"""How we ask Stripe to change something, so that it happens once whatever dies when.

1. The operation is written with its key and exact body, and committed.
2. It is sent, outside any transaction, always as it is stored.
3. The answer is written.

Stripe keeps the answer to a key for 24 hours, its own failures (5xx) included. So under SAME_KEY_FOR an
unanswered operation is sent again under the same key; later, or after a 5xx, nobody knows: we look whether
it happened (`find`), and only if not send it under a new generation of the key.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Account
from billing.models import StripeOperation
from billing.payments.stripe import Found, NoAnswer, Refused, ServerFault, api, is_live

SAME_KEY_FOR = timedelta(hours=23)
# A refusal is not asked again before this: whatever was wrong is mended by a person.
REFUSED_FOR = timedelta(hours=1)

State = StripeOperation.State


def perform(
    stem: str,
    path: str,
    body: dict[str, Any],
    *,
    account: Account | None = None,
    find: Callable[[], str | None] = lambda: None,
    again: Callable[[], dict[str, Any]] | None = None,
) -> str:
    """POST `body` to `path` once for each `stem`; return the id of the object that Stripe answered with.

    `find` returns the id of the object if the effect is there already; it is only asked in doubt. `again`
    returns the body for a new generation: what is still missing. Refused, ProviderAway.
    """
    stem = stem if is_live() else f"test:{stem}"  # what happened in test mode did not happen
    operation = _latest(stem) or _written(stem, 1, path, body, account)
    # If we die here, nothing was sent: the next run finds the row and sends it.
    if operation.state == State.DONE:
        return operation.answer
    if _is_over(operation):
        operation = _next_generation(operation, body if again is None else again)
    elif _is_in_doubt(operation):
        if found := find():
            return _answered(operation, {"id": found})
        operation = _next_generation(operation, body if again is None else again)
    return _send(operation)


def _send(operation: StripeOperation) -> str:
    StripeOperation.objects.filter(pk=operation.pk).update(attempts=operation.attempts + 1)
    try:
        answer = api().post(operation.path, operation.body, operation.key)
    except Refused as refusal:
        _refused(operation, refusal)
        raise
    except ServerFault as fault:
        _note(operation, http_status=max(fault.status, 500), error=str(fault)[:500])
        raise
    except NoAnswer as silence:
        _note(operation, error=str(silence)[:500])
        raise
    # If we die here, Stripe has done it and we do not know: the same key gets the same answer.
    return _answered(operation, answer)


def _latest(stem: str) -> StripeOperation | None:
    return StripeOperation.objects.filter(stem=stem).order_by("-generation").first()


def _written(
    stem: str, generation: int, path: str, body: dict[str, Any], account: Account | None
) -> StripeOperation:
    """Commit the row before anything is sent; the one that is there if another process was faster.

    `durable`: inside a transaction of the caller this would not be a commit, so it is an error.
    """
    with transaction.atomic(durable=True):
        facts = {"stem": stem, "generation": generation, "path": path, "body": body, "account": account}
        operation, _ = StripeOperation.objects.get_or_create(key=f"{stem}:g{generation}", defaults=facts)
    return operation


def _next_generation(
    operation: StripeOperation, body: dict[str, Any] | Callable[[], dict[str, Any]]
) -> StripeOperation:
    body = body() if callable(body) else body
    if operation.state == State.SENT:
        _note(operation, state=State.SUPERSEDED)
    return _written(operation.stem, operation.generation + 1, operation.path, body, operation.account)


def _is_over(operation: StripeOperation) -> bool:
    """Whether the last generation ended without effect. Refused lately: the same refusal again."""
    if operation.state == State.FAILED:
        if operation.answered_at and timezone.now() - operation.answered_at < REFUSED_FOR:
            raise Refused(operation.error, operation.http_status or 400, operation.answer)
        return True
    return operation.state == State.SUPERSEDED


def _is_in_doubt(operation: StripeOperation) -> bool:
    too_old = timezone.now() - operation.created_at > SAME_KEY_FOR
    return operation.attempts > 0 and (too_old or (operation.http_status or 0) >= 500)


def _answered(operation: StripeOperation, answer: Found) -> str:
    _note(operation, state=State.DONE, answer=str(answer["id"]), http_status=200, error="")
    return str(answer["id"])


def _refused(operation: StripeOperation, refusal: Refused) -> None:
    facts = {"http_status": refusal.status, "error": str(refusal)[:500], "answer": refusal.code[:120]}
    _note(operation, state=State.FAILED, stripe_request_id=refusal.request[:64], **facts)


def _note(operation: StripeOperation, **facts: Any) -> None:
    StripeOperation.objects.filter(pk=operation.pk).update(answered_at=timezone.now(), **facts)
