#!/usr/bin/env bash
# Recommend products from a shop's range: whichever texts lie closest to what somebody is looking for.
# The comparing is done by the model's own task, sentence-similarity. Needs curl and jq.
set -euo pipefail
cd "$(dirname "$0")"
wish="${*:-따뜻한 겨울 코트}"

answer=$(jq --arg wish "$wish" \
  '{inputs: {source_sentence: $wish, sentences: map("\(.name): \(.text)")}}' products.json |
  curl -sS -w '\n%{http_code}' "$TURNPIKE_URL/hf-inference/models/intfloat/multilingual-e5-small/pipeline/sentence-similarity" \
    -H "Authorization: Bearer $TURNPIKE_PRO_KEY" -H "Content-Type: application/json" --data @-)
status=${answer##*$'\n'} body=${answer%$'\n'*}
if [ "$status" != 200 ]; then # 401, 402, 429: the message says what to do next
  echo "$status: $(jq -r .error <<<"$body")" >&2
  exit 1
fi
jq -r --argjson scores "$body" '[., $scores] | transpose | sort_by(-.[1]) | .[:3][] | "\(.[1] * 1000 | round / 1000)  \(.[0].name)"' products.json
