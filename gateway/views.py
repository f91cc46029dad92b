"""A call, from its first byte to its last: authenticate, admit, forward, settle."""

from functools import partial

from gateway import errors, headers
from gateway.admission import Hold
from gateway.allow_lists import check_address
from gateway.endpoints import find_endpoint
from gateway.errors import Refusal
from gateway.http import Answer, Call
from gateway.idempotency import HEADER as IDEMPOTENCY_KEY
from gateway.metering import Usage, usage_of_body
from gateway.order_reading import read_order
from gateway.quotes import HEADER as QUOTE
from gateway.relay import Relay
from gateway.routing import Candidate
from gateway.services import Services
from gateway.settlement import Outcome
from gateway.sizing import MAX_COST, read_max_cost
from gateway.upstream import Failed, Reply


async def answer_call(call: Call, services: Services) -> Answer:
    """Answer a call, or raise a Refusal. However it ends, its hold is settled or was never taken."""
    endpoint = find_endpoint(call.path, services.catalog.providers)
    # 1 who is calling?
    caller = call.caller = await services.callers.authenticate(call.header(b"authorization"))
    check_address(call, caller.restrictions)
    max_cost = read_max_cost(call.header(MAX_COST), caller.entitlements.currency)
    body = await call.read_body(caller.entitlements.max_body_bytes)
    order = (
        read_order(endpoint, body, call.content_type, caller, services.catalog, max_cost)
        if call.header(QUOTE) is None
        else await services.quotes.read_order(call, endpoint, body, caller, services.catalog, max_cost)
    )
    if call.header(IDEMPOTENCY_KEY) is not None:  # answered before? One charge per key
        claimed = await services.idempotency.claim(call, caller.account_id, body, order.stream)
        if isinstance(claimed, Answer):
            return claimed
        order.mark = claimed
    # 2 may they? take a hold
    hold = await services.admit(call.id, caller, order)
    call.meter = hold.admitted
    try:
        # 3 forward
        reply = await services.upstreams.forward(order, call.id)
        # 4 settle and emit usage, before the last byte leaves
        return (
            await _settle_whole(hold, reply, services)
            if reply.stream is None
            else _stream(hold, reply, services)
        )
    except Failed as failed:  # upstream; nobody is charged
        await _give_up(hold, failed.refusal, failed.candidate, services)
        raise failed.refusal from failed
    except BaseException as failure:  # cancelled, or a fault of ours: no hold stays behind
        refusal = failure if isinstance(failure, Refusal) else errors.internal_error()
        await _give_up(hold, refusal, None, services)
        raise


async def _give_up(hold: Hold, refusal: Refusal, served: Candidate | None, services: Services) -> None:
    served = served or hold.order.candidates[0]
    await services.give_up(hold, Outcome(refusal.status, Usage(), served, refusal.code, charged=False))


async def _settle_whole(hold: Hold, reply: Reply, services: Services) -> Answer:
    usage = usage_of_body(hold.order, reply)
    receipt = await services.settle(hold, Outcome(reply.status, usage, reply.served))
    sent = reply.passed_back() + headers.of_hold(hold) + headers.of_reply(reply) + headers.of_receipt(receipt)
    answer = Answer(reply.status, sent, reply.body)
    if hold.order.mark is not None:
        kept = reply.passed_back() + headers.of_reply(reply) + headers.of_receipt(receipt)
        await services.idempotency.keep(hold.order.mark, Answer(reply.status, kept, reply.body))
    return answer


def _stream(hold: Hold, reply: Reply, services: Services) -> Answer:
    """A stream settles itself, as its last event leaves: see relay.py."""
    sent = reply.passed_back() + headers.of_hold(hold) + headers.of_reply(reply) + headers.OF_STREAM
    return Answer(
        reply.status,
        sent,
        stream=partial(Relay(hold, reply).run, settle=services.settle, drain=services.drain),
    )
