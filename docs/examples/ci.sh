#!/usr/bin/env bash
# A job of continuous integration: ci.sh BOUND. Trains, records and shares the run; fails where its score is too low.
set -euo pipefail
bound=$1

name=$(sbcflow exp init)
echo "experiment $name"

# A command that fails ends the job; what it was is recorded first.
record_failure() {
  sbcflow exp save "$name" --failed "$1"
  sbcflow exp push origin "$name"
}
trap 'record_failure "failed: $BASH_COMMAND"' ERR

python train.py
score=$(python -c 'import json; print(json.load(open("metrics.json"))["score"])')
sbcflow exp log "$name" "score=$score"
sbcflow exp save "$name" --message "CI of $(git rev-parse --short HEAD)"

trap - ERR
sbcflow exp push origin "$name"

if [ "$(sbcflow exp list --where "name == '$name' and metrics.score >= $bound")" = none ]; then
  echo "score $score is below $bound" >&2
  exit 1
fi
