"""The store of idempotency keys: the first answer to a key is the answer, a 500 included.

As Stripe says it: status and body are kept once the request began to be worked on; keys live for 24 hours (on the
fake's clock) and then are new again; other parameters under the same key are an error; a second request while the
first is under way is answered 409.
"""

import hashlib

import orjson

from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.world import DAY, Object, World


def seen(world: World, key: str, operation: str, params: Object) -> Object | None:
    """Return the stored answer of a key; None if this is its first request, which is noted as under way.

    Parameters are compared by what they say: the order of a form's fields does not matter.
    """
    _forget_old(world)
    said = orjson.dumps([operation, params], option=orjson.OPT_SORT_KEYS)
    fingerprint = hashlib.sha256(said).hexdigest()
    found = world.idempotency.get(key)
    if found is None:
        world.idempotency[key] = {"fingerprint": fingerprint, "at": world.now(), "answer": None}
        return None
    if found["fingerprint"] != fingerprint:
        raise Refusal(
            f"Keys for idempotent requests can only be used with the same parameters they were first used with. Try "
            f"using a key other than '{key}' if you meant to execute a different request.",
            kind="idempotency_error",
        )
    if found["answer"] is None:
        raise Refusal(
            f"There is currently another in-progress request using this Idempotent Key: {key}.",
            409,
            "idempotency_error",
            code="idempotency_key_in_use",
        )
    answer: Object = found["answer"]
    return answer


def keep(world: World, key: str, status: int, body: Object, request_id: str) -> None:
    """Store an answer."""
    world.idempotency[key]["answer"] = {"status": status, "body": body, "request_id": request_id}


def _forget_old(world: World) -> None:
    limit = world.now() - DAY
    for key in [key for key, found in world.idempotency.items() if found["at"] <= limit]:
        del world.idempotency[key]
