"""A stand-in for an upstream on Hugging Face's network, for the failures that a healthy server does not show.

Speaks the OpenAI form. What it does is said by the last message's text, a word and a number:

    say 5        answers with 5 tokens (the default)         slow 200    the same, 200 ms between tokens
    status 503   answers with that status                    hang        accepts, and never answers
    drop 3       breaks the connection after 3 tokens        garbage 3   sends something else after 3 tokens
    no-usage 4   streams 4 tokens and reports no usage       error 2     an error event after 2 tokens
    wait 500     answers after 500 ms (wait 500 9: with      cached 5    all input but one token was cached
                 9 tokens)
    binary 3     streams 3 tokens, then bytes of no text     infinite 5  its time header says inf

More such words are in nonsense.py. A body that is no JSON is a picture. It counts what it saw, so that a
test can ask: GET /seen -> {"calls", "tokens", "left", …}. A call's `user` field is counted by name.
"""

import argparse
import asyncio
import json
from typing import Any

from aiohttp import web

from tests.fakes import nonsense


class Seen:
    """What this upstream can bear witness to."""

    def __init__(self) -> None:
        self.calls = 0
        self.tokens = 0
        self.users: dict[str, int] = {}  # calls by what their body calls `user`
        self.at_once = 0
        self.most_at_once = 0  # since GET /seen?fresh
        self.left = 0  # connections that closed while we streamed
        self.stolen: list[str] = []  # Authorization of calls that followed a redirect
        self.headers: dict[str, str] = {}
        self.body = ""

    def count_user(self, user: object) -> None:
        """Count a call for whom its body names, if anybody."""
        if user:
            self.users[str(user)] = self.users.get(str(user), 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return dict(vars(self))


SEEN = web.AppKey("seen", Seen)


def make_app() -> web.Application:
    """Return the server."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[SEEN] = Seen()
    app.add_routes(
        [
            web.get("/health", _health),
            web.get("/seen", _seen),
            web.route("*", "/elsewhere", _elsewhere),
            web.post("/v1/chat/completions", answer),
            web.post("/{path:.*}", answer),
        ]
    )
    return app


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _seen(request: web.Request) -> web.Response:
    seen = request.app[SEEN]
    found = seen.as_dict()
    if "fresh" in request.query:
        seen.most_at_once = seen.at_once
    return web.json_response(found)


async def _elsewhere(request: web.Request) -> web.Response:
    request.app[SEEN].stolen.append(request.headers.get("Authorization", ""))
    return web.json_response({"choices": []})


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer a call as its words wish, and count it."""
    seen = request.app[SEEN]
    seen.calls += 1
    seen.at_once += 1
    seen.most_at_once = max(seen.most_at_once, seen.at_once)
    try:
        return await _answer_wish(request, seen)
    finally:
        seen.at_once -= 1


async def _answer_wish(request: web.Request, seen: Seen) -> web.StreamResponse:
    seen.headers = dict(request.headers)
    raw = await request.read()
    if raw[:1] != b"{":
        return nonsense.look_at_picture(raw)
    seen.body = raw.decode()
    body = json.loads(raw)
    seen.count_user(body.get("user"))
    verb, number = _wish(body)
    if verb in nonsense.WHOLE:
        return await nonsense.WHOLE[verb](request)
    if verb == "status":
        headers = {"Retry-After": "7"} if number == 503 else {}
        return web.json_response(
            {"error": {"message": f"told to say {number}"}}, status=number, headers=headers
        )
    if verb == "hang":
        await asyncio.sleep(600)
    if verb == "wait":
        await asyncio.sleep(number / 1000)
        number = _third_word(body)
    if verb == "slow" and not body.get("stream"):
        await asyncio.sleep(number / 1000)
        number = 5
    if body.get("stream"):
        return await _stream(request, body, verb, number)
    if verb == "garbage":
        return web.Response(text="<html>not what you wanted</html>", content_type="text/html")
    if verb == "drop":
        assert request.transport is not None
        request.transport.abort()
    seen.tokens += number
    headers = {"x-compute-time": "inf", "x-compute-characters": "-1"} if verb == "infinite" else {}
    return web.json_response(_answer(body, number, with_usage=verb != "no-usage"), headers=headers)


def _wish(body: dict[str, Any]) -> tuple[str, int]:
    """Read the verb and number out of the last message; anything else means `say 5`."""
    messages = body.get("messages") or [{"content": body.get("prompt") or body.get("inputs") or ""}]
    words = str(messages[-1].get("content", "")).split()
    known = {"say", "slow", "status", "hang", "drop", "garbage", "no-usage", "error", "wait", "cached"}
    known |= {"binary", "infinite", *nonsense.WHOLE, *nonsense.ODD_USAGE}
    if not words or words[0] not in known:
        return "say", 5
    return words[0], int(words[1]) if len(words) > 1 and words[1].isdigit() else 5


def _third_word(body: dict[str, Any]) -> int:
    words = str((body.get("messages") or [{"content": ""}])[-1].get("content", "")).split()
    return int(words[2]) if len(words) > 2 and words[2].isdigit() else 5


def _usage(body: dict[str, Any], tokens: int) -> dict[str, Any]:
    if odd := nonsense.ODD_USAGE.get(_wish(body)[0]):
        return dict(odd)
    prompt = len(json.dumps(body.get("messages", ""))) // 4 + 1
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": tokens,
        "total_tokens": prompt + tokens,
    }
    if _wish(body)[0] == "cached":
        usage["prompt_tokens_details"] = {"cached_tokens": prompt - 1}
    return usage


def _answer(body: dict[str, Any], tokens: int, *, with_usage: bool) -> dict[str, Any]:
    message = {"role": "assistant", "content": " ".join(["tok"] * tokens)}
    answer = {
        "id": "fake",
        "object": "chat.completion",
        "model": body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    return answer | {"usage": _usage(body, tokens)} if with_usage else answer


async def _stream(request: web.Request, body: dict[str, Any], verb: str, number: int) -> web.StreamResponse:
    seen = request.app[SEEN]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    tokens = 40 if verb == "slow" else number
    try:
        for _ in range(tokens):
            delta = {"index": 0, "delta": {"content": "tok "}, "finish_reason": None}
            await _send(response, {"id": "fake", "object": "chat.completion.chunk", "choices": [delta]})
            seen.tokens += 1
            await asyncio.sleep(number / 1000 if verb == "slow" else 0)
        await _end(request, response, body, verb, tokens)
    except (ConnectionResetError, asyncio.CancelledError):
        seen.left += 1
        raise
    return response


async def _end(
    request: web.Request, response: web.StreamResponse, body: dict[str, Any], verb: str, tokens: int
) -> None:
    if verb == "drop":
        assert request.transport is not None
        request.transport.abort()
        return
    if verb == "garbage":
        await response.write(b"data: <html>oops</html>\n\n")
        return
    if verb == "binary":
        await response.write(bytes(range(128, 256)) + b"\n\n")
        return
    if verb == "error":
        await _send(response, {"error": {"message": "out of memory"}})
        return
    if (body.get("stream_options") or {}).get("include_usage") and verb != "no-usage":
        await _send(response, {"id": "fake", "choices": [], "usage": _usage(body, tokens)})
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()


async def _send(response: web.StreamResponse, document: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(document).encode() + b"\n\n")


def main() -> None:
    """Run it: `python -m tests.fakes.upstream --port 18020`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    web.run_app(make_app(), host="127.0.0.1", port=parser.parse_args().port, print=None)


if __name__ == "__main__":
    main()
