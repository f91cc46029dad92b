#!/usr/bin/env bash
# Sort a clinic's notes by what they are about, without training, and find the earlier case most like each.
# Needs curl and jq.
set -euo pipefail
cd "$(dirname "$0")"

# run TASK < body: prints the answer, or says why there is none (401, 402, 429: with what to do next).
run() {
  local answer status body
  answer=$(curl -sS -w '\n%{http_code}' "$TURNPIKE_URL/hf-inference/models/intfloat/multilingual-e5-small/pipeline/$1" \
    -H "Authorization: Bearer $TURNPIKE_PRO_KEY" -H "Content-Type: application/json" --data @-)
  status=${answer##*$'\n'} body=${answer%$'\n'*}
  if [ "$status" != 200 ]; then
    echo "$status: $(jq -r .error <<<"$body")" >&2
    return 1
  fi
  printf '%s' "$body"
}

for place in $(jq -r 'keys[]' records.json); do
  record=$(jq ".[$place]" records.json)
  others=$(jq "del(.[$place])" records.json)
  topics=$(jq '{inputs: .text, parameters: {candidate_labels: ["a heart problem", "a skin problem", "an injury"]}}' \
    <<<"$record" | run zero-shot-classification)
  scores=$(jq --argjson record "$record" '{inputs: {source_sentence: $record.text, sentences: map(.text)}}' \
    <<<"$others" | run sentence-similarity)
  alike=$(jq -r --argjson scores "$scores" '.[$scores | index(max)].id' <<<"$others")
  best=$(jq -r '.[0] | "\(.label) (\(.score * 100 | round / 100))"' <<<"$topics")
  echo "$(jq -r .id <<<"$record")  $best  most like $alike"
done
