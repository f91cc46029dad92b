"""A tutor for a school: answers are written while you read, and it remembers what was said."""

import os
import sys

import openai

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
SYSTEM = "You are a patient school tutor. Answer in two short sentences."
LONGEST_HISTORY = 8  # messages; each is sent, and paid, again with every question
client = openai.OpenAI(
    base_url=os.environ["TURNPIKE_URL"] + "/v1", api_key=os.environ["TURNPIKE_PRO_KEY"], max_retries=0
)


def answer(history: list[dict[str, str]]) -> str:
    """Print the tutor's answer as it comes, with what it used, and return it."""
    messages = [{"role": "system", "content": SYSTEM}, *history[-LONGEST_HISTORY:]]
    stream = client.chat.completions.create(
        model=MODEL, messages=messages, max_tokens=80, temperature=0, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    text = ""
    for chunk in stream:
        piece = (chunk.choices[0].delta.content or "") if chunk.choices else ""
        print(piece, end="", flush=True)
        text += piece
        if chunk.usage:
            print(f"\n[{chunk.usage.prompt_tokens} tokens in, {chunk.usage.completion_tokens} out]")
    return text


def main() -> None:
    """Answer each line of input, or each argument, as a pupil's question."""
    history: list[dict[str, str]] = []
    for question in sys.argv[1:] or sys.stdin:
        print(f"> {question.strip()}")
        history.append({"role": "user", "content": question.strip()})
        history.append({"role": "assistant", "content": answer(history)})


try:
    main()
except openai.APIStatusError as refused:  # 401, 402, 429: the message says what to do next
    sys.exit(f"{refused.status_code}: {refused.response.json()['error']['message']}")
except openai.APIError as broken:  # the stream broke off: what came so far is all there is
    sys.exit(f"\n{broken.message}")
