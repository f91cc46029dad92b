"""The headers that the gateway meters a call by, named as Text Generation Inference names them."""


def meter_headers(
    *,
    characters: int,
    seconds: float | None = None,
    prompt_tokens: int | None = None,
    generated_tokens: int | None = None,
) -> dict[str, str]:
    """Headers of one answer. `characters` were sent in; `seconds` is model time, without the wait for a
    place.

    A stream sends its headers before it knows seconds and tokens, so it has the first two only.
    """
    headers = {"x-compute-type": "cpu", "x-compute-characters": str(characters)}
    if seconds is not None:
        headers["x-compute-time"] = f"{seconds:.6f}"
    if prompt_tokens is not None:
        headers["x-prompt-tokens"] = str(prompt_tokens)
    if generated_tokens is not None:
        headers["x-generated-tokens"] = str(generated_tokens)
    return headers
