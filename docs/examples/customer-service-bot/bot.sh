#!/usr/bin/env bash
# Answer a bank's customer: find the entry of the FAQ that fits the question, and let a model word the answer.
# Needs curl and jq.
set -euo pipefail
cd "$(dirname "$0")"
question="${*:-My wallet is gone and my card was in it. What do I do?}"

# call PATH < body: prints the answer, or says why there is none (401, 402, 429: with what to do next).
call() {
  local answer status body
  answer=$(curl -sS -w '\n%{http_code}' "$TURNPIKE_URL$1" \
    -H "Authorization: Bearer $TURNPIKE_PRO_KEY" -H "Content-Type: application/json" --data @-)
  status=${answer##*$'\n'} body=${answer%$'\n'*}
  if [ "$status" != 200 ]; then
    echo "$status: $(jq -r '.error.message? // .error' <<<"$body")" >&2
    return 1
  fi
  printf '%s' "$body"
}

scores=$(jq --arg question "$question" '{inputs: {source_sentence: $question, sentences: map(.question)}}' faq.json |
  call /hf-inference/models/intfloat/multilingual-e5-small/pipeline/sentence-similarity)
entry=$(jq --argjson scores "$scores" '.[$scores | index(max)]' faq.json)
echo "Entry:  $(jq -r .question <<<"$entry")"
echo "Answer: $(jq -r .answer <<<"$entry")"
answer=$(jq --arg question "$question" '{
    model: "HuggingFaceTB/SmolLM2-135M-Instruct", max_tokens: 60, temperature: 0,
    messages: [
      {role: "system", content: ("You are a bank'"'"'s friendly customer service. Answer briefly, using only this: " + .answer)},
      {role: "user", content: $question}
    ]}' <<<"$entry" | call /v1/chat/completions)
echo "Model:  $(jq -r .choices[0].message.content <<<"$answer")"
