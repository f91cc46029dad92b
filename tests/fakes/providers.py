"""Providers behind the router, each in its own form: fal-ai, replicate, together, wavespeed, deepinfra.

What happens is said by the first words of the prompt (image-to-image and sound: of the parameter `prompt`):

    status 500   the submission is refused with that status     fail        the job ends as failed
    elsewhere    the result lies on another host                never       the job is never done
    redirect     the result's address leads on                  html        the result is a page
    nothing      the answer names no result                     lost        asking after the job fails
    inside       where to ask is said to be a path of others

GET /seen tells every request, GET /files/… has the results. 127.0.0.1 is the providers' own host, localhost is not.
"""

import argparse
import base64
import json
from typing import Any

from aiohttp import web

from tests.fakes.hf_tasks import picture, sound

SEEN = web.AppKey("seen", list[dict[str, Any]])
JOBS = web.AppKey("jobs", dict[str, dict[str, Any]])
PICTURE, SOUND, TEXT = picture(4), sound(250), "pay the toll"


def make_app() -> web.Application:
    """Return the server."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[SEEN], app[JOBS] = [], {}
    app.add_routes(
        [
            web.get("/seen", _seen),
            web.get("/files/{name}", _file),
            web.post("/fal-ai/{model:.+}", _fal),
            web.get("/fal-ai/{model:.+}/requests/{job}{status:(/status)?}", _fal_job),
            web.post("/replicate/v1/models/{model:.+}/predictions", _replicate),
            web.post("/together/v1/images/generations", _together),
            web.post("/together/v1/audio/speech", _together_speech),
            web.post("/wavespeed/api/v3/{model:.+}", _wavespeed),
            web.get("/wavespeed/api/v3/predictions/{job}/result", _wavespeed_job),
            web.post("/deepinfra/v1/openai/audio/transcriptions", _deepinfra),
        ]
    )
    return app


async def _seen(request: web.Request) -> web.Response:
    return web.json_response(request.app[SEEN])


async def _note(request: web.Request) -> dict[str, Any]:
    body = await request.read()
    headers = {name.lower(): value for name, value in request.headers.items()}
    text = body.decode("latin-1")
    seen = {"method": request.method, "path": request.path_qs, "headers": headers, "body": text}
    request.app[SEEN].append(seen)
    document: dict[str, Any] = json.loads(text) if "json" in headers.get("content-type", "") else {}
    return document


def _wish(document: dict[str, Any]) -> str:
    return str(document.get("prompt") or document.get("text") or document.get("input") or "")


def _refused(wish: str) -> web.Response | None:
    if not wish.startswith("status"):
        return None
    return web.json_response({"detail": "told to"}, status=int(wish.split()[1]))


def _address(request: web.Request, wish: str, name: str) -> str:
    port = request.url.port
    for word, found in (("elsewhere", f"http://localhost:{port}/files/{name}"), ("redirect", "redirect")):
        if wish.startswith(word):
            return found if "//" in found else f"http://127.0.0.1:{port}/files/{found}"
    return f"http://127.0.0.1:{port}/files/{'page.html' if wish.startswith('html') else name}"


async def _file(request: web.Request) -> web.Response:
    await _note(request)
    name = request.match_info["name"]
    if name == "redirect":
        return web.Response(status=302, headers={"Location": "/files/picture.png"})
    if name == "page.html":
        return web.Response(text="<script>alert(1)</script>", content_type="text/html")
    return web.Response(body=SOUND if name.endswith(".wav") else PICTURE)


async def _fal(request: web.Request) -> web.Response:
    document = await _note(request)
    wish, model = _wish(document), request.match_info["model"]
    if (refused := _refused(wish)) is not None:
        return refused
    if request.query.get("_subdomain") == "queue":
        job = f"job{len(request.app[JOBS])}"
        request.app[JOBS][job] = {"wish": wish, "asked": 0}
        where = f"https://queue.fal.run/{model}/requests/{job}"
        if wish.startswith("inside"):
            where = "https://queue.fal.run/../v1/chat/completions"
        return web.json_response({"request_id": job, "status": "IN_QUEUE", "response_url": where})
    if "audio_url" in document:
        return web.json_response({"text": TEXT, "timings": {"inference": 0.25}})
    if "text" in document:
        return web.json_response({"audio": {"url": _address(request, wish, "sound.wav")}})
    images = [] if wish.startswith("nothing") else [{"url": _address(request, wish, "picture.png")}]
    return web.json_response({"images": images, "timings": {"inference": 0.25}})


async def _fal_job(request: web.Request) -> web.Response:
    await _note(request)
    job = request.app[JOBS][request.match_info["job"]]
    job["asked"] += 1
    wish = job["wish"]
    if wish.startswith("lost"):
        return web.json_response({"detail": "gone"}, status=500)
    done = job["asked"] > 2 and not wish.startswith("never")
    if request.match_info["status"]:
        status = "IN_QUEUE" if job["asked"] == 1 else "COMPLETED" if done else "IN_PROGRESS"
        return web.json_response({"status": "FAILED" if wish.startswith("fail") else status})
    url = _address(request, wish, "picture.png")
    return web.json_response({"images": [{"url": url}], "timings": {"inference": 1.5}})


async def _replicate(request: web.Request) -> web.Response:
    document = (await _note(request))["input"]
    wish = _wish(document)
    if (refused := _refused(wish)) is not None:
        return refused
    if request.headers.get("Prefer") != "wait" or wish.startswith("nothing"):
        return web.json_response({"status": "starting", "output": None}, status=201)
    name = "sound.wav" if "text" in document else "picture.png"
    output = [_address(request, wish, name)]
    return web.json_response(
        {"status": "succeeded", "output": output, "metrics": {"predict_time": 0.5}}, status=201
    )


async def _together(request: web.Request) -> web.Response:
    document = await _note(request)
    if (refused := _refused(_wish(document))) is not None:
        return refused
    if document.get("response_format") != "base64":
        return web.json_response({"error": {"message": "not in this form"}}, status=400)
    return web.json_response({"data": [{"b64_json": base64.b64encode(PICTURE).decode()}]})


async def _together_speech(request: web.Request) -> web.Response:
    document = await _note(request)
    return _refused(_wish(document)) or web.Response(body=SOUND, content_type="audio/wav")


async def _wavespeed(request: web.Request) -> web.Response:
    document = await _note(request)
    job = f"job{len(request.app[JOBS])}"
    request.app[JOBS][job] = {"wish": _wish(document), "asked": 0}
    url = f"https://api.wavespeed.ai/api/v3/predictions/{job}/result"
    return web.json_response({"data": {"id": job, "status": "created", "urls": {"get": url}}})


async def _wavespeed_job(request: web.Request) -> web.Response:
    await _note(request)
    job = request.app[JOBS][request.match_info["job"]]
    job["asked"] += 1
    if job["wish"].startswith("fail"):
        return web.json_response({"data": {"status": "failed", "error": "told to"}})
    if job["asked"] < 2:
        return web.json_response({"data": {"status": "processing"}})
    outputs = [_address(request, job["wish"], "picture.png")]
    done = {"status": "completed", "outputs": outputs, "timings": {"inference": 750}}
    return web.json_response({"data": done})


async def _deepinfra(request: web.Request) -> web.Response:
    await _note(request)
    return web.json_response({"text": TEXT, "segments": [{"text": "pay", "start": 0.0, "end": 0.5}]})


def main() -> None:
    """Run it: `python -m tests.fakes.providers --port 18040`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    web.run_app(make_app(), host="127.0.0.1", port=parser.parse_args().port, print=None)


if __name__ == "__main__":
    main()
