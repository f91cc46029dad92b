"""Answer a bank's customer: find the entry of the FAQ that fits the question, and let a model word the answer."""

import json
import os
import sys
from pathlib import Path

import openai

EMBEDDER = "intfloat/multilingual-e5-small"
WRITER = "HuggingFaceTB/SmolLM2-135M-Instruct"
client = openai.OpenAI(
    base_url=os.environ["TURNPIKE_URL"] + "/v1", api_key=os.environ["TURNPIKE_PRO_KEY"], max_retries=0
)


def best_entry(question: str, faq: list[dict[str, str]]) -> dict[str, str]:
    """Return the entry whose question lies closest to this one."""
    texts = [question, *(entry["question"] for entry in faq)]
    rows = client.embeddings.create(model=EMBEDDER, input=texts).data
    asked, *known = (row.embedding for row in rows)
    scores = [sum(a * b for a, b in zip(asked, vector, strict=True)) for vector in known]
    return faq[scores.index(max(scores))]


def worded(question: str, entry: dict[str, str]) -> str:
    """Return the entry's answer in a sentence or two to this customer."""
    system = "You are a bank's friendly customer service. Answer briefly, using only this: " + entry["answer"]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    answer = client.chat.completions.create(model=WRITER, messages=messages, max_tokens=60, temperature=0)
    return answer.choices[0].message.content.strip()


def main() -> None:
    """Print the entry that fits the words on the command line, and the model's wording of it."""
    question = " ".join(sys.argv[1:]) or "My wallet is gone and my card was in it. What do I do?"
    faq = json.loads(Path(__file__).with_name("faq.json").read_text(encoding="utf-8"))
    entry = best_entry(question, faq)
    print("Entry: ", entry["question"])
    print("Answer:", entry["answer"])
    print("Model: ", worded(question, entry))


try:
    main()
except openai.APIStatusError as refused:  # 401, 402, 429: the message says what to do next
    sys.exit(f"{refused.status_code}: {refused.response.json()['error']['message']}")
