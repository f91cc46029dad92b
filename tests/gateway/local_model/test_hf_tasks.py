"""/models/… as huggingface_hub's own client sees it: each task that the two models do, and no other."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError, ValidationError

from gateway.local_model.models import CHAT_MODEL, EMBEDDING_MODEL

from .conftest import ModelServer

pytestmark = pytest.mark.model

CHAT_PATH = f"/models/{CHAT_MODEL}"
EMBEDDING_PATH = f"/models/{EMBEDDING_MODEL}"
FRANCE = "The capital of France is"


@pytest.fixture
def writer(server: ModelServer) -> Iterator[InferenceClient]:
    """A client whose model is the exact URL of SmolLM2."""
    with InferenceClient(model=server.url + CHAT_PATH, token="hf_any") as client:
        yield client


@pytest.fixture
def reader(server: ModelServer) -> Iterator[InferenceClient]:
    """A client whose model is the exact URL of multilingual-e5-small."""
    with InferenceClient(model=server.url + EMBEDDING_PATH, token="hf_any") as client:
        yield client


def test_alice_generates_text_that_begins_with_her_prompt(writer: InferenceClient) -> None:
    text = writer.text_generation(FRANCE, max_new_tokens=5)
    assert text.startswith(FRANCE + " Paris")


def test_alice_asks_for_the_new_text_only(writer: InferenceClient) -> None:
    assert writer.text_generation(FRANCE, max_new_tokens=1, return_full_text=False) == " Paris"


def test_alice_gets_the_details_of_each_token(writer: InferenceClient) -> None:
    answer = writer.text_generation(FRANCE, max_new_tokens=5, return_full_text=False, details=True)
    assert answer.details
    assert answer.details.finish_reason == "length"
    assert answer.details.generated_tokens == 5
    assert answer.details.seed is None
    assert "".join(token.text for token in answer.details.tokens) == answer.generated_text
    assert all(token.logprob <= 0 for token in answer.details.tokens)


def test_alice_streams_and_the_last_event_has_the_whole_text(writer: InferenceClient) -> None:
    events = list(writer.text_generation(FRANCE, max_new_tokens=6, details=True, stream=True))
    assert [event.index for event in events] == [1, 2, 3, 4, 5, 6]
    assert all(event.generated_text is None and event.details is None for event in events[:-1])
    last = events[-1]
    assert last.generated_text == FRANCE + "".join(event.token.text for event in events)
    assert last.details
    assert last.details.generated_tokens == 6
    assert last.details.input_length == 5


def test_alice_streams_plain_text(writer: InferenceClient) -> None:
    pieces = list(writer.text_generation(FRANCE, max_new_tokens=6, stream=True))
    assert len(pieces) == 6
    assert pieces[0] == " Paris"


def test_generation_ends_before_a_stop_string(writer: InferenceClient) -> None:
    answer = writer.text_generation(
        "1 2 3 4 5", max_new_tokens=30, stop=[" 8"], return_full_text=False, details=True
    )
    assert answer.generated_text == " 6 7"
    assert answer.details
    assert answer.details.finish_reason == "stop_sequence"


def test_generation_ends_when_the_model_says_so(writer: InferenceClient) -> None:
    prompt = "<|im_start|>user\nSay ok<|im_end|>\n<|im_start|>assistant\nOk."
    answer = writer.text_generation(prompt, max_new_tokens=200, details=True)
    assert answer.details
    assert answer.details.finish_reason == "eos_token"
    assert answer.details.tokens[-1].special


def test_sampling_tells_its_seed(writer: InferenceClient) -> None:
    chosen = writer.text_generation(FRANCE, max_new_tokens=2, seed=42, temperature=1.0, details=True)
    assert chosen.details
    assert chosen.details.seed == 42
    drawn = writer.text_generation(FRANCE, max_new_tokens=2, do_sample=True, details=True)
    assert drawn.details
    assert drawn.details.seed is not None


def test_a_grammar_gives_json(writer: InferenceClient) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    grammar: Any = {"type": "json", "value": schema}
    text = writer.text_generation("Her age: ", max_new_tokens=60, return_full_text=False, grammar=grammar)
    assert isinstance(json.loads(text)["age"], int)


def test_bob_reads_in_the_error_that_his_prompt_is_too_long(writer: InferenceClient) -> None:
    with pytest.raises(ValidationError, match="5001 tokens; this model reads 4096"):
        writer.text_generation("word " * 5000)


def test_alice_chats_on_the_model_path_without_naming_the_model(writer: InferenceClient) -> None:
    answer = writer.chat_completion([{"role": "user", "content": "Say hello."}], max_tokens=8)
    assert answer.choices[0].message.content
    assert answer.model == CHAT_MODEL
    assert answer.usage.completion_tokens <= 8


def test_alice_streams_a_chat_on_the_model_path(writer: InferenceClient) -> None:
    chunks = list(
        writer.chat_completion([{"role": "user", "content": "Say hello."}], max_tokens=8, stream=True)
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def test_features_of_one_text_and_of_three(reader: InferenceClient) -> None:
    assert reader.feature_extraction("안녕하세요").shape == (384,)
    assert reader.feature_extraction(["a", "b", "c"], normalize=True, prompt_name="passage").shape == (3, 384)


def test_a_long_text_is_cut_only_when_asked(reader: InferenceClient, server: ModelServer) -> None:
    with pytest.raises(HfHubHTTPError, match="512 tokens"):
        reader.feature_extraction("word " * 600)
    body = {"inputs": "word " * 600, "truncate": True, "truncation_direction": "Left"}
    reply = server.post(EMBEDDING_PATH, body)
    assert reply.status == 200
    assert 500 < int(reply.headers["x-prompt-tokens"]) <= 512


def test_the_similar_sentence_scores_highest(server: ModelServer) -> None:
    url = f"{server.url}{EMBEDDING_PATH}/pipeline/sentence-similarity"
    with InferenceClient(model=url, token="hf_any") as client:
        scores = client.sentence_similarity(
            "I lost my card.", other_sentences=["My card is gone.", "The soup is hot.", "카드를 분실했어요."]
        )
    assert len(scores) == 3
    assert scores[0] > scores[1]
    assert scores[2] > scores[1]


@pytest.mark.parametrize(
    ("text", "labels", "best"),
    [
        ("I want my money back for this broken phone.", ["praise", "refund", "shipping"], "refund"),
        ("Whisk the eggs with sugar and bake.", ["sports", "politics", "cooking"], "cooking"),
        ("카드를 잃어버렸어요. 정지해 주세요.", ["대출 상담", "카드 분실", "환율 문의"], "카드 분실"),
    ],
)
def test_zero_shot_labels_share_one_and_the_right_one_leads(
    reader: InferenceClient, text: str, labels: list[str], best: str
) -> None:
    result = reader.zero_shot_classification(text, labels)
    assert result[0].label == best
    assert [element.score for element in result] == sorted(
        (element.score for element in result), reverse=True
    )
    assert sum(element.score for element in result) == pytest.approx(1)


def test_zero_shot_with_many_right_labels_judges_each_alone(reader: InferenceClient) -> None:
    result = reader.zero_shot_classification(
        "My package never arrived, please give me my money back.",
        ["refund", "shipping", "praise", "cooking"],
        multi_label=True,
        hypothesis_template="This text is about {}.",
    )
    scores = {element.label: element.score for element in result}
    assert scores["refund"] > 0.5
    assert scores["cooking"] < 0.2
    assert sum(scores.values()) > 1


def test_the_shape_of_a_body_tells_its_task(server: ModelServer) -> None:
    pair = {"source_sentence": "hello", "sentences": ["hi", "bank"]}
    assert len(server.post(EMBEDDING_PATH, {"inputs": pair}).json) == 2
    assert len(server.post(EMBEDDING_PATH, {"inputs": None, "parameters": {}} | pair).json) == 2
    labelled = {"inputs": "hello", "parameters": {"candidate_labels": ["a", "b"]}}
    assert {row["label"] for row in server.post(EMBEDDING_PATH, labelled).json} == {"a", "b"}
    assert len(server.post(EMBEDDING_PATH, {"inputs": "hello"}).json) == 384


@pytest.mark.parametrize(
    ("path", "body", "prompt", "generated"),
    [
        (CHAT_PATH, {"inputs": FRANCE, "parameters": {"max_new_tokens": 3}}, "5", "3"),
        (EMBEDDING_PATH, {"inputs": "hello"}, "7", "0"),
        (f"{EMBEDDING_PATH}/pipeline/feature-extraction", {"inputs": "hello"}, "7", "0"),
    ],
)
def test_each_answer_carries_what_the_gateway_meters(
    server: ModelServer, path: str, body: dict[str, Any], prompt: str, generated: str
) -> None:
    headers = server.post(path, body).headers
    assert headers["x-compute-type"] == "cpu"
    assert 0 < float(headers["x-compute-time"]) < 60
    assert headers["x-compute-characters"] == str(len(body["inputs"]))
    assert headers["x-prompt-tokens"] == prompt
    assert headers["x-generated-tokens"] == generated


WRONG: list[tuple[str, object, int, str, str]] = [
    (CHAT_PATH, b"nope", 400, "not_json", "valid JSON"),
    (CHAT_PATH, {}, 422, "validation", "`inputs`"),
    (CHAT_PATH, {"inputs": ""}, 422, "validation", "must not be empty"),
    (CHAT_PATH, {"inputs": ["a"]}, 422, "validation", "`inputs` must be a string"),
    (CHAT_PATH, {"inputs": "a", "stream": "yes"}, 422, "validation", "`stream`"),
    (CHAT_PATH, {"inputs": "a", "parameters": []}, 200, "", ""),
    (CHAT_PATH, {"inputs": "a", "parameters": [1]}, 422, "validation", "`parameters` must be an object"),
    (CHAT_PATH, {"inputs": "a", "parameters": {"temperature": 0}}, 422, "validation", "above 0"),
    (CHAT_PATH, {"inputs": "a", "parameters": {"max_new_tokens": 10_000}}, 422, "validation", "4096"),
    (CHAT_PATH, {"inputs": "a", "parameters": {"best_of": 2}}, 422, "validation", "`best_of` must be 1"),
    (CHAT_PATH, {"inputs": "a", "parameters": {"watermark": True}}, 422, "validation", "`watermark`"),
    (CHAT_PATH, {"inputs": "a", "parameters": {"grammar": {"type": "regex"}}}, 422, "validation", "grammar"),
    (
        f"{CHAT_PATH}/pipeline/summarization",
        {"inputs": "a"},
        400,
        "task_not_supported",
        "It does text-generation",
    ),
    (
        f"{CHAT_PATH}/pipeline/feature-extraction",
        {"inputs": "a"},
        400,
        "task_not_supported",
        "text-generation",
    ),
    (f"{CHAT_PATH}/v1/chat/completions", {"messages": "hi"}, 422, "validation", "`messages`"),
    (f"{EMBEDDING_PATH}/v1/chat/completions", {}, 400, "task_not_supported", "does not do chat"),
    (
        f"{EMBEDDING_PATH}/pipeline/fill-mask",
        {"inputs": "a"},
        400,
        "task_not_supported",
        "sentence-similarity",
    ),
    ("/models/mallory/model", {"inputs": "a"}, 404, "model_not_found", "mallory/model is not served"),
    (EMBEDDING_PATH, {"inputs": [1, 2]}, 422, "validation", "token ids"),
    (EMBEDDING_PATH, {"inputs": "a", "normalize": False}, 422, "validation", "`normalize`"),
    (EMBEDDING_PATH, {"inputs": "a", "prompt_name": "poem"}, 422, "validation", "query or passage"),
    (EMBEDDING_PATH, {"inputs": "a", "dimensions": 2}, 422, "validation", "384"),
    (EMBEDDING_PATH, {"inputs": {"source_sentence": "a"}}, 422, "validation", "`sentences`"),
    (
        EMBEDDING_PATH,
        {"inputs": "a", "parameters": {"candidate_labels": []}},
        422,
        "validation",
        "candidate_labels",
    ),
    (
        EMBEDDING_PATH,
        {"inputs": "a", "parameters": {"candidate_labels": ["b", "b"]}},
        422,
        "validation",
        "different",
    ),
    (
        EMBEDDING_PATH,
        {"inputs": "a", "parameters": {"candidate_labels": ["b"], "hypothesis_template": "no place"}},
        422,
        "validation",
        "{}",
    ),
]


@pytest.mark.parametrize(("path", "body", "status", "kind", "words"), WRONG)
def test_a_wrong_body_gets_one_clear_refusal(
    server: ModelServer, path: str, body: object, status: int, kind: str, words: str
) -> None:
    reply = server.post(path, body)
    assert reply.status == status
    assert reply.headers["Content-Length"] == str(len(reply.body))
    if status != 200:
        assert reply.json["error_type"] == kind
        assert words in reply.json["error"]


def test_the_asynchronous_client_reads_the_reason_of_a_refused_stream(server: ModelServer) -> None:
    async def call() -> None:
        async with AsyncInferenceClient(model=server.url + CHAT_PATH, token="hf_any") as client:
            stream = await client.text_generation("word " * 5000, stream=True)
            async for _ in stream:
                pass

    with pytest.raises(ValidationError, match="this model reads 4096"):
        asyncio.run(call())
