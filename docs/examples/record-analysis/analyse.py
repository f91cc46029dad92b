"""Sort a clinic's notes by what they are about, without training, and find the earlier case most like each."""

import json
import os
import sys
from pathlib import Path

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

LABELS = ["a heart problem", "a skin problem", "an injury"]


def client_of(task: str) -> InferenceClient:
    """Return a client for one task of the model, by the model's whole address."""
    model = f"{os.environ['TURNPIKE_URL']}/hf-inference/models/intfloat/multilingual-e5-small"
    return InferenceClient(base_url=f"{model}/pipeline/{task}", api_key=os.environ["TURNPIKE_PRO_KEY"])


def topic(text: str) -> tuple[str, float]:
    """Return the label that fits best, and how surely (0 to 1)."""
    best = client_of("zero-shot-classification").zero_shot_classification(text, LABELS)[0]
    return best.label, best.score


def most_alike(text: str, others: list[str]) -> int:
    """Return the place of the text in `others` that is most like this one."""
    scores = client_of("sentence-similarity").sentence_similarity(text, others)
    return scores.index(max(scores))


def main() -> None:
    """Print a line for each note."""
    records = json.loads(Path(__file__).with_name("records.json").read_text(encoding="utf-8"))
    for record in records:
        label, score = topic(record["text"])
        others = [other for other in records if other is not record]
        alike = others[most_alike(record["text"], [other["text"] for other in others])]
        print(f"{record['id']}  {label} ({score:.2f})  most like {alike['id']}")


try:
    main()
except HfHubHTTPError as refused:  # 401, 402, 429: the message says what to do next
    sys.exit(f"{refused.response.status_code}: {refused.response.json()['error']}")
