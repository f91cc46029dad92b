#!/usr/bin/env bash
# A tutor for a school: answers are written while you read, and it remembers what was said.
# Needs curl and jq. Questions are the arguments, or lines of input.
set -euo pipefail
history='[{"role": "system", "content": "You are a patient school tutor. Answer in two short sentences."}]'
events=$(mktemp)
trap 'rm -f "$events"' EXIT

# ask: sends the history, prints the answer as it comes and what it used, and keeps the events in a file.
# An object with `error` is a refusal (401, 402, 429: the message says what to do next) or a stream that broke off.
ask() {
  jq '{model: "HuggingFaceTB/SmolLM2-135M-Instruct", messages: ., max_tokens: 80, temperature: 0,
    stream: true, stream_options: {include_usage: true}}' <<<"$history" |
    curl -sSN "$TURNPIKE_URL/v1/chat/completions" \
      -H "Authorization: Bearer $TURNPIKE_PRO_KEY" -H "Content-Type: application/json" --data @- |
    grep --line-buffered -o '{.*' | tee "$events" |
    jq -j --unbuffered '
      if .error then "\(.error.code): \(.error.message)\n" | halt_error(1) else
        (.choices[0].delta.content // empty),
        (select(.usage) | "\n[\(.usage.prompt_tokens) tokens in, \(.usage.completion_tokens) out]\n")
      end'
}

questions() { if [ $# -gt 0 ]; then printf '%s\n' "$@"; else cat; fi; }

questions "$@" | while IFS= read -r question; do
  echo "> $question"
  history=$(jq --arg text "$question" '. + [{role: "user", content: $text}]' <<<"$history")
  ask
  answer=$(jq -j '.choices[0].delta.content // empty' "$events")
  history=$(jq --arg text "$answer" '. + [{role: "assistant", content: $text}]' <<<"$history")
done
