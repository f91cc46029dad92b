"""The matrix as data: which clients there are, what each can do, and what it must show in each case."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

CASES = ("success", "401", "402", "429", "mid-stream")
# What a client must show of each refusal: our code or our words. One of them has to be in what it raises.
NEWS: Mapping[str, Sequence[str]] = {
    "401": ("invalid_api_key", "This API key is not valid"),
    "402": ("quota_exceeded", "You have used 1,000 of the 1,000 calls"),
    "429": ("rate_limit_exceeded", "You have reached 20 requests a minute"),
    "mid-stream": ("upstream_error", "The model's server failed"),
}
PICTURE = "PNG"
SOUND = "RIFF"
# What each feature shows when it works (tests/fakes/hf_tasks.py answers so).
SUCCESS: Mapping[str, str] = {
    "chat": "tok tok",
    "stream": "tok tok",
    "completions": "toll toll",
    "completions stream": "toll toll",
    "embeddings": "0.25",
    "models": "tests/any-openai",
    "images": PICTURE,
    "speech": SOUND,
    "transcription": "pay the toll",
    "responses": "toll toll",
    "responses stream": "toll",
    "feature-extraction": "0.25",
    "sentence-similarity": "0.25",
    "text-to-image": PICTURE,
    "image-to-image": PICTURE,
    "text-to-speech": SOUND,
    "tabular-classification": "7",
    "raw bytes": "toll booth",
}
TASKS = (
    "audio-classification", "audio-to-audio", "automatic-speech-recognition", "document-question-answering",
    "feature-extraction", "fill-mask", "image-classification", "image-segmentation", "image-to-image",
    "image-to-text", "object-detection", "question-answering", "sentence-similarity", "summarization",
    "table-question-answering", "tabular-classification", "text-classification", "text-generation",
    "text-to-image", "text-to-speech", "token-classification", "translation", "visual-question-answering",
    "zero-shot-classification", "zero-shot-image-classification",
)  # fmt: skip
OPENAI = (
    "chat", "stream", "completions", "completions stream", "embeddings", "models", "images", "speech",
    "transcription", "responses", "responses stream",
)  # fmt: skip
HUB = ("chat", "stream", "text-generation stream", *TASKS)
# Release 4.13.30 takes one object for image-to-text and refuses the list that hf-inference answers with.
HUB_NODE = tuple(feature for feature in HUB if feature != "image-to-text")


@dataclass(frozen=True, slots=True)
class Client:
    """A client as its users have it: the program that drives it, and where its packages come from."""

    name: str
    driver: str  # a file in drivers/ or node/
    features: Sequence[str]
    packages: str = ""  # "node", a venv by its requirements-<name>.txt, or "" for our own venv
    quick: bool = False  # part of `make test`


CLIENTS: Sequence[Client] = (
    Client("openai (Python)", "openai_python.py", OPENAI, quick=True),
    Client("openai (Node)", "openai.mjs", OPENAI, "node"),
    Client("huggingface_hub", "hub.py", HUB, "hub", quick=True),
    Client("huggingface_hub async", "hub_async.py", HUB, "hub", quick=True),
    Client("huggingface_hub provider=", "hub_provider.py", HUB, "hub"),
    Client("huggingface_hub settings", "hub_settings.py", HUB, "hub"),
    Client("@huggingface/inference", "huggingface.mjs", HUB_NODE, "node"),
    Client("langchain-openai", "langchain.py", ("chat", "stream", "embeddings"), "langchain"),
    Client("llm", "llm_command.py", ("chat", "stream"), "llm"),
    Client("litellm", "litellm_client.py", ("chat", "stream", "completions", "embeddings"), "litellm"),
    Client(
        "curl",
        "curl.py",
        (
            "chat",
            "stream",
            "embeddings",
            "models",
            "transcription",
            "text-generation stream",
            "raw bytes",
            *TASKS,
        ),
        quick=True,
    ),
)
# There is no plan without a list of models, and it is not metered: 401 is all that can happen to it.
_UNMETERED = frozenset({"models"})


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that a client does in one case."""

    client: Client
    feature: str
    case: str

    def __str__(self) -> str:
        return f"{self.client.name} · {self.feature} · {self.case}"

    def verdict(self, shown: str) -> str:
        """Return what is wrong with what the client showed, or "" if nothing is."""
        if self.case == "success":
            wanted: Sequence[str] = (SUCCESS.get(self.feature, "toll"),)
        else:
            wanted = NEWS[self.case]
        fails = shown.startswith("raised ")
        if fails != (self.case != "success"):
            return f"it should {'fail' if not fails else 'work'}, but shows: {shown[:600]}"
        if not any(words in shown for words in wanted):
            return f"it should show {' or '.join(map(repr, wanted))}, but shows: {shown[:600]}"
        return ""


def cells_of(client: Client) -> Iterator[Cell]:
    """Every cell of a client's rows. A break in mid-stream can only happen to what streams."""
    for feature in client.features:
        for case in CASES:
            if case == "mid-stream" and "stream" not in feature:
                continue
            if feature in _UNMETERED and case in ("402", "429"):
                continue
            yield Cell(client, feature, case)
