"""The ways that a call may take: those that have a path for it, at prices within its plan. Best first.

Worked out once for an account, a model and a form of call, and kept with the catalog: a new one starts anew.
"""

from collections.abc import Sequence
from dataclasses import replace

from gateway import dialects, errors, provider_tasks
from gateway.authentication import Caller
from gateway.catalog import Catalog, Listed, Way
from gateway.dialects import Target
from gateway.endpoints import Endpoint
from gateway.routing import Candidate, candidates

_MOST_WORKED_OUT = 100_000


def ways_for(
    catalog: Catalog, endpoint: Endpoint, listed: Listed, task: str, suffix: str, caller: Caller
) -> Sequence[Candidate]:
    """Return the ways. Refusals `invalid_request`, `model_not_found`, `permission_denied`."""
    rights, account_id = caller.entitlements, caller.account_id
    ceiling = rights.price_ceiling_nano
    key = (account_id, listed.model_id, task, suffix, rights.currency, ceiling, endpoint.form)
    if found := catalog.worked_out.get(key):
        return found  # type: ignore[no-any-return]
    ways = candidates(catalog, listed, task, suffix, account_id, rights.currency)
    takes = [
        replace(it, target=target)
        for it in ways
        if (target := _target(it.way, endpoint, listed, task))
        and (endpoint.raw_path or dialects.can(it.way.server.dialect, target))
    ]
    if len(catalog.worked_out) >= _MOST_WORKED_OUT:
        catalog.worked_out.clear()
    catalog.worked_out[key] = allowed = tuple(_allowed(takes, listed, task, caller))
    return allowed


def _target(way: Way, endpoint: Endpoint, listed: Listed, task: str) -> Target:
    return Target(
        task=task,
        model_id=listed.model_id,
        openai_form=endpoint.openai_form,
        names_task=endpoint.task is not None,
        provider=way.provider,
        names_model=endpoint.model_id is not None,
    )


def _allowed(ways: list[Candidate], listed: Listed, task: str, caller: Caller) -> list[Candidate]:
    """Keep the ways within the plan's price ceiling: small models only, on Free."""
    if not ways:
        raise _nobody_takes(listed, task)
    ceiling = caller.entitlements.price_ceiling_nano
    if ceiling is None:
        return ways
    affordable = [way for way in ways if way.pin.price_per_million_output_nano <= ceiling]
    if not affordable:
        plan = caller.entitlements.plan
        message = f"{listed.model_id} is not part of the {plan} plan. Upgrade on the Billing page."
        raise errors.permission_denied(message, "plan", "price_ceiling")
    return affordable


def _nobody_takes(listed: Listed, task: str) -> errors.Refusal:
    words = f"No server of {listed.model_id} takes {task} in this form."
    if known := provider_tasks.providers_of(task):
        words += f" In Hugging Face's form hf-inference does, and {', '.join(known)}."
    return errors.invalid_request(words, "model")
