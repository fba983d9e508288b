#!/usr/bin/env bash
# The world health-gathering, ViZDoom's scenario of that name, from nothing: OUT=runs/health-gathering bash
# training/shipped/health-gathering.sh (see stages.sh). Small networks, for one CPU core. Needs ViZDoom
# (pip install diamond-engine[doom]) and 130 MB of disk an episode.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

: "${EPISODES:=72}" "${WORKERS:=$(nproc)}" "${DYNAMICS_UPDATES:=60000}" "${DYNAMICS_FINISHING:=10000}"
: "${FINISHING_BATCH:=16}" "${UPSAMPLER_UPDATES:=12000}" "${UPSAMPLER_FINISHING:=3000}" "${EVALUATED:=6}"
config=$(dirname "${BASH_SOURCE[0]}")/health-gathering.yaml

learn() {
    diamond-train csgo --data "$OUT/prepared" --preset quick --config "$config" --device "$DEVICE" ${SETTINGS:-} "$@"
}

# Half of the time to the nearest medkit, half of it any keys and turns: what an action does is to be learned anywhere.
stage recordings within diamond-train record doom --scenario health_gathering --out "$OUT/recordings" \
    --episodes "$EPISODES" --workers "$WORKERS" --seed 7 --wander 0.5
stage prepared within diamond-train csgo-data prepare "$OUT/recordings" "$OUT/prepared" --workers "$WORKERS"

# First single steps at a large step size, then steps that go on from the stage's own frames, at a small one.
beginning=(--seed 1 ${INIT:+--init "$INIT"}) finishing=(--seed 2 --init "$OUT/first")
stage dynamics learn --out "$OUT/first" --components dynamics "${beginning[@]}" --set dynamics.updates="$DYNAMICS_UPDATES"
stage upsampler learn --out "$OUT/first" --components upsampler "${beginning[@]}" --set upsampler.updates="$UPSAMPLER_UPDATES"
stage finishing-dynamics learn --out "$OUT/run" --components dynamics "${finishing[@]}" \
    --set dynamics.updates="$DYNAMICS_FINISHING" --set dynamics.batch_size="$FINISHING_BATCH" \
    --set dynamics.autoregressive_steps=3 --set dynamics.optimiser.learning_rate=2e-4
stage finishing-upsampler learn --out "$OUT/run" --components upsampler "${finishing[@]}" \
    --set upsampler.updates="$UPSAMPLER_FINISHING" --set upsampler.autoregressive_steps=1 \
    --set upsampler.optimiser.learning_rate=2e-4

last whole diamond-train assemble --world "$OUT/run" --out "$OUT/whole" \
    --note "licence=MIT; learned from Freedoom (BSD-3-Clause)"
last fidelity diamond-eval fidelity "$OUT/whole" --data "$OUT/prepared" --episodes "$EVALUATED" --seed 1 \
    --device "$DEVICE" --report "$OUT/fidelity.json" --strip "$OUT/fidelity.png"
last response diamond-eval response "$OUT/whole" --data "$OUT/prepared" --seed 1 \
    --device "$DEVICE" --report "$OUT/response.json" --picture "$OUT/response.png"
last play diamond-eval play "$OUT/whole" --data "$OUT/prepared" --seed 1 --device "$DEVICE" --report "$OUT/play.json"
echo "$OUT/whole is the world: diamond-play doom --weights $OUT/whole"
