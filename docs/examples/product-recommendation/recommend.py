"""Recommend products from a shop's range: whichever texts lie closest to what somebody is looking for."""

import json
import os
import sys
from pathlib import Path

import openai

MODEL = "intfloat/multilingual-e5-small"
client = openai.OpenAI(
    base_url=os.environ["TURNPIKE_URL"] + "/v1", api_key=os.environ["TURNPIKE_PRO_KEY"], max_retries=0
)


def embed(texts: list[str]) -> list[list[float]]:
    """Return a vector of length 1 for each text: the product of two is how close they are."""
    return [row.embedding for row in client.embeddings.create(model=MODEL, input=texts).data]


def closeness(one: list[float], other: list[float]) -> float:
    """Return the cosine of two vectors, at most 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def main() -> None:
    """Print the three best products for the words on the command line."""
    wish = " ".join(sys.argv[1:]) or "따뜻한 겨울 코트"
    products = json.loads(Path(__file__).with_name("products.json").read_text(encoding="utf-8"))
    wanted, *vectors = embed([wish, *(f"{product['name']}: {product['text']}" for product in products)])
    ranked = sorted(zip(vectors, products, strict=True), key=lambda row: -closeness(wanted, row[0]))
    for vector, product in ranked[:3]:
        print(f"{closeness(wanted, vector):.3f}  {product['name']}")


try:
    main()
except openai.APIStatusError as refused:  # 401, 402, 429: the message says what to do next
    sys.exit(f"{refused.status_code}: {refused.response.json()['error']['message']}")
