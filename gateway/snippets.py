"""The first call in four ways, with this installation's address, a model that answers here, and a key."""

from typing import TypedDict

from django.conf import settings

from gateway.dialects import CHAT
from gateway.local_model.models import CHAT_MODEL
from gateway.models import CatalogModel

VARIABLE = "TURNPIKE_KEY"  # what the snippets read the key from where it is not known
QUESTION = "Say hello in one short sentence."
MAX_TOKENS = 40


class Snippet(TypedDict):
    """One tab of `<c-code>`."""

    label: str
    text: str


def first_model() -> str:
    """Return the id of a chat model to try: the local one where it is listed, else any that is."""
    listed = CatalogModel.objects.filter(deprecated_at=None, tasks__contains=[CHAT])
    ids = list(listed.values_list("model_id", flat=True)[:50])
    return CHAT_MODEL if CHAT_MODEL in ids or not ids else ids[0]


def first_call(model: str, secret: str = "") -> list[Snippet]:
    """Return the tabs. Without a secret they read the key from the environment variable TURNPIKE_KEY."""
    base = settings.SITE_URL
    return [
        {"label": "curl", "text": _curl(base, model, secret)},
        {"label": "Python · openai", "text": _python_openai(base, model, secret)},
        {"label": "JavaScript · openai", "text": _javascript_openai(base, model, secret)},
        {"label": "Python · huggingface_hub", "text": _huggingface_hub(base, model, secret)},
    ]


def _curl(base: str, model: str, secret: str) -> str:
    return f"""\
curl {base}/v1/chat/completions \\
  -H "Authorization: Bearer {secret or "$" + VARIABLE}" \\
  -H "Content-Type: application/json" \\
  -d '{{
    "model": "{model}",
    "messages": [{{"role": "user", "content": "{QUESTION}"}}],
    "max_tokens": {MAX_TOKENS}
  }}'"""


def _python_key(secret: str) -> tuple[str, str]:
    """Return (import line, expression) for the key in Python."""
    return ("", f'"{secret}"') if secret else ("import os\n\n", f'os.environ["{VARIABLE}"]')


def _python_openai(base: str, model: str, secret: str) -> str:
    imports, key = _python_key(secret)
    return f"""\
{imports}from openai import OpenAI

client = OpenAI(base_url="{base}/v1", api_key={key})
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "{QUESTION}"}}],
    max_tokens={MAX_TOKENS},
)
print(answer.choices[0].message.content)"""


def _javascript_openai(base: str, model: str, secret: str) -> str:
    key = f'"{secret}"' if secret else f"process.env.{VARIABLE}"
    return f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{base}/v1", apiKey: {key} }});
const answer = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "{QUESTION}" }}],
  max_tokens: {MAX_TOKENS},
}});
console.log(answer.choices[0].message.content);"""


def _huggingface_hub(base: str, model: str, secret: str) -> str:
    imports, key = _python_key(secret)
    return f"""\
{imports}from huggingface_hub import InferenceClient

client = InferenceClient(base_url="{base}/v1", api_key={key})
answer = client.chat_completion(
    model="{model}",
    messages=[{{"role": "user", "content": "{QUESTION}"}}],
    max_tokens={MAX_TOKENS},
)
print(answer.choices[0].message.content)"""
