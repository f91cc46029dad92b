"""The two Python clients that people have already: openai and huggingface_hub, pointed here and nowhere else.

Each does a chat, a streamed chat and an embedding with the real local model, and hears of a refusal as its
own exception.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from openai import OpenAI

from accounts.keys import new_secret, revoke_key
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL, Person
from tests.live import Web

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("no_hold_stays")]

# The local model at temperature 0 goes on for longer than this, so a stream has many pieces.
STORY: Any = [{"role": "user", "content": "Tell me a long story about a toll road."}]
TOKENS = 48
DIMENSIONS = 384
FREE_REQUESTS_PER_MINUTE = 20


@pytest.fixture
def alice(model_web: Web, person: Callable[..., Person]) -> Person:
    """Alice is on Pro."""
    return person("Alice", "pro")


@pytest.fixture
def bob(model_web: Web, person: Callable[..., Person]) -> Person:
    """Bob is on Free."""
    return person("Bob")


@pytest.fixture
def mallory(model_web: Web, person: Callable[..., Person]) -> Person:
    """Mallory's key is revoked."""
    mallory = person("Mallory")
    revoke_key(mallory.key)
    return mallory


def openai_client(web: Web, secret: str) -> OpenAI:
    """Return the client as the README makes it, but for the retries: a refusal must be heard at once."""
    return OpenAI(base_url=f"{web.url}/v1", api_key=secret, max_retries=0, timeout=60)


def hub_client(web: Web, secret: str, path: str = "/v1") -> InferenceClient:
    """Return the client as the README makes it."""
    return InferenceClient(base_url=web.url + path, api_key=secret, timeout=60)


def embedding_path() -> str:
    """The path of the task: huggingface_hub takes it whole for anything but chats."""
    return f"/hf-inference/models/{EMBEDDING_MODEL}/pipeline/feature-extraction"


def arrivals(pieces: Iterable[str | None]) -> tuple[list[str], float]:
    """Return the pieces that carry text, and the seconds between the first and the last of them."""
    texts, times = [], []
    for piece in pieces:
        if piece:
            texts.append(piece)
            times.append(time.monotonic())
    return texts, times[-1] - times[0]


def test_alice_chats_through_openai(model_web: Web, alice: Person) -> None:
    with openai_client(model_web, alice.secret) as client:
        answer = client.chat.completions.create(model=CHAT_MODEL, messages=STORY, max_tokens=TOKENS)
    assert answer.choices[0].message.content
    assert answer.model == CHAT_MODEL
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= TOKENS
    assert answer._request_id


def test_alice_reads_a_chat_through_openai_as_it_is_written(model_web: Web, alice: Person) -> None:
    with openai_client(model_web, alice.secret) as client:
        stream = client.chat.completions.create(
            model=CHAT_MODEL,
            messages=STORY,
            max_tokens=TOKENS,
            temperature=0,
            stream=True,
        )
        # She did not ask for usage, so no chunk comes without a choice.
        texts, seconds = arrivals(chunk.choices[0].delta.content for chunk in stream)
    assert len(texts) > TOKENS / 2
    assert seconds > 0.05, "the pieces came all at once"


def test_alice_gets_usage_at_the_end_of_a_stream_if_she_asks_for_it(model_web: Web, alice: Person) -> None:
    with openai_client(model_web, alice.secret) as client:
        stream = client.chat.completions.create(
            model=CHAT_MODEL,
            messages=STORY,
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
        )
        last = list(stream)[-1]
    assert last.choices == []
    assert last.usage is not None
    assert 0 < last.usage.completion_tokens <= 8


def test_alice_embeds_through_openai(model_web: Web, alice: Person) -> None:
    with openai_client(model_web, alice.secret) as client:
        answer = client.embeddings.create(model=EMBEDDING_MODEL, input=["a toll road", "통행료"])
    assert [len(row.embedding) for row in answer.data] == [DIMENSIONS, DIMENSIONS]
    assert answer.usage.total_tokens > 0


def test_alice_lists_the_models_through_openai(model_web: Web, alice: Person) -> None:
    with openai_client(model_web, alice.secret) as client:
        assert {CHAT_MODEL, EMBEDDING_MODEL} <= {model.id for model in client.models.list()}
        assert client.models.retrieve(CHAT_MODEL).id == CHAT_MODEL


def test_alice_chats_through_huggingface_hub(model_web: Web, alice: Person) -> None:
    with hub_client(model_web, alice.secret) as client:
        answer = client.chat_completion(STORY, model=CHAT_MODEL, max_tokens=TOKENS)
    assert answer.choices[0].message.content
    assert 0 < answer.usage.completion_tokens <= TOKENS


def test_alice_reads_a_chat_through_huggingface_hub_as_it_is_written(model_web: Web, alice: Person) -> None:
    def texts(client: InferenceClient) -> Iterator[str | None]:
        for chunk in client.chat_completion(
            STORY,
            model=CHAT_MODEL,
            max_tokens=TOKENS,
            temperature=0,
            stream=True,
        ):
            yield chunk.choices[0].delta.content

    with hub_client(model_web, alice.secret) as client:
        pieces, seconds = arrivals(texts(client))
    assert len(pieces) > TOKENS / 2
    assert seconds > 0.05, "the pieces came all at once"


def test_alice_embeds_through_huggingface_hub(model_web: Web, alice: Person) -> None:
    with hub_client(model_web, alice.secret, embedding_path()) as client:
        vector = client.feature_extraction("a toll road")
    assert vector.size == DIMENSIONS


def test_alice_writes_on_through_huggingface_hub(model_web: Web, alice: Person) -> None:
    with hub_client(model_web, alice.secret, f"/hf-inference/models/{CHAT_MODEL}") as client:
        assert client.text_generation("A toll road is", max_new_tokens=8)


def test_both_clients_get_the_same_embedding(model_web: Web, alice: Person) -> None:
    with openai_client(model_web, alice.secret) as client:
        one = client.embeddings.create(model=EMBEDDING_MODEL, input="a toll road").data[0].embedding
    with hub_client(model_web, alice.secret, embedding_path()) as hub:
        other = hub.feature_extraction("a toll road").reshape(-1)
    assert one == pytest.approx(list(other), abs=1e-5)


def test_mallorys_revoked_key_is_an_authentication_error_in_openai(model_web: Web, mallory: Person) -> None:
    with (
        openai_client(model_web, mallory.secret) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model=CHAT_MODEL, messages=STORY)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id
    assert mallory.secret not in str(caught.value)


def test_mallorys_revoked_key_is_an_http_error_in_huggingface_hub(model_web: Web, mallory: Person) -> None:
    with (
        hub_client(model_web, mallory.secret) as client,
        pytest.raises(HfHubHTTPError, match="Send `Authorization: Bearer tp_live_") as caught,
    ):
        client.chat_completion(STORY, model=CHAT_MODEL)
    assert caught.value.response.status_code == 401
    assert caught.value.request_id
    assert mallory.secret not in str(caught.value)


def test_a_key_that_was_never_issued_is_refused_on_the_hugging_face_paths(model_web: Web) -> None:
    with (
        hub_client(model_web, new_secret(), embedding_path()) as client,
        pytest.raises(HfHubHTTPError, match="This API key is not valid") as caught,
    ):
        client.feature_extraction("a toll road")
    assert caught.value.request_id


def test_bob_hears_of_his_21st_call_in_a_minute_in_each_clients_own_words(
    model_web: Web, bob: Person
) -> None:
    with openai_client(model_web, bob.secret) as client:
        for _ in range(FREE_REQUESTS_PER_MINUTE):
            client.embeddings.create(model=EMBEDDING_MODEL, input="one more")
        with pytest.raises(openai.RateLimitError) as caught:
            client.embeddings.create(model=EMBEDDING_MODEL, input="one too many")
    assert caught.value.code == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) > 0
    assert "20 requests a minute" in caught.value.message
    assert caught.value.request_id

    with hub_client(model_web, bob.secret, embedding_path()) as hub, pytest.raises(HfHubHTTPError) as heard:
        hub.feature_extraction("one too many")
    assert heard.value.response.status_code == 429
    assert "20 requests a minute" in str(heard.value)
    assert heard.value.request_id


def test_a_model_that_is_not_here_is_not_found_in_openai(model_web: Web, alice: Person) -> None:
    with openai_client(model_web, alice.secret) as client, pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nobody/nothing", messages=STORY)
    assert caught.value.code == "model_not_found"
