"""The openai package for Python."""

from typing import Any

from openai import OpenAI

from tests.clients.drivers.common import Wish, from_base64, plain, run
from tests.fakes.media import sound

MODEL = "tests/any-openai"


def _client(wish: Wish) -> OpenAI:
    return OpenAI(base_url=f"{wish.url}/v1", api_key=wish.key, max_retries=0, timeout=60)


def _messages(wish: Wish) -> Any:
    return [{"role": "user", "content": wish.words}]


def chat(wish: Wish) -> str:
    answer = _client(wish).chat.completions.create(model=MODEL, messages=_messages(wish))
    return answer.choices[0].message.content or ""


def stream(wish: Wish) -> str:
    chunks = _client(wish).chat.completions.create(model=MODEL, messages=_messages(wish), stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def completions(wish: Wish) -> str:
    return _client(wish).completions.create(model=MODEL, prompt=wish.words).choices[0].text


def completions_stream(wish: Wish) -> str:
    chunks = _client(wish).completions.create(model=MODEL, prompt=wish.words, stream=True)
    return "".join(chunk.choices[0].text for chunk in chunks)


def embeddings(wish: Wish) -> str:
    return str(_client(wish).embeddings.create(model=MODEL, input=["toll", "free"]).data[1].embedding)


def models(wish: Wish) -> str:
    client = _client(wish)
    assert client.models.retrieve(MODEL).id == MODEL  # the slash comes encoded
    return " ".join(model.id for model in client.models.list())


def images(wish: Wish) -> str:
    answer = _client(wish).images.generate(model=MODEL, prompt="a toll booth", response_format="b64_json")
    assert answer.data
    return from_base64(answer.data[0].b64_json or "")


def speech(wish: Wish) -> str:
    return plain(_client(wish).audio.speech.create(model=MODEL, input="toll", voice="alloy").content)


def transcription(wish: Wish) -> str:
    return _client(wish).audio.transcriptions.create(model=MODEL, file=("speech.wav", sound())).text


def responses(wish: Wish) -> str:
    return _client(wish).responses.create(model=MODEL, input=wish.words).output_text


def responses_stream(wish: Wish) -> str:
    events = _client(wish).responses.create(model=MODEL, input=wish.words, stream=True)
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


if __name__ == "__main__":
    run(
        {
            "chat": chat,
            "stream": stream,
            "completions": completions,
            "completions stream": completions_stream,
            "embeddings": embeddings,
            "models": models,
            "images": images,
            "speech": speech,
            "transcription": transcription,
            "responses": responses,
            "responses stream": responses_stream,
        }
    )
