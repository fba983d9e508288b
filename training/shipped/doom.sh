#!/usr/bin/env bash
# The world doom from nothing: OUT=runs/doom bash training/shipped/doom.sh (see stages.sh). SIZE=large (default) wants
# a GPU; SIZE=small is about what the bundled world was made with: the first rooms, no monsters, small networks, two or
# three hours of one CPU core. Needs ViZDoom (pip install diamond-engine[doom]) and 130 MB of disk an episode.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

: "${SIZE:=large}" "${WORKERS:=$(nproc)}"
here=$(dirname "${BASH_SOURCE[0]}")
if [ "$SIZE" = small ]; then
    : "${EPISODES:=64}" "${DYNAMICS_UPDATES:=16000}" "${DYNAMICS_FINISHING:=3000}" "${FINISHING_BATCH:=8}"
    : "${UPSAMPLER_UPDATES:=6000}" "${UPSAMPLER_FINISHING:=2500}" "${EVALUATED:=6}" "${COMPILE:=--no-compile}"
    style=(--reach 75 --no-monsters --wander 0.6)
else
    : "${EPISODES:=240}" "${DYNAMICS_UPDATES:=60000}" "${DYNAMICS_FINISHING:=15000}" "${FINISHING_BATCH:=32}"
    : "${UPSAMPLER_UPDATES:=30000}" "${UPSAMPLER_FINISHING:=5000}" "${EVALUATED:=20}" "${COMPILE:=--compile}"
    style=(--wander 0.4)
fi

learn() {
    diamond-train csgo --data "$OUT/prepared" --preset quick --config "$here/doom-$SIZE.yaml" "$COMPILE" \
        --device "$DEVICE" ${SETTINGS:-} "$@"
}

# What an action does is learned from hands that do anything anywhere; where one is, from an explorer that gets around.
stage recordings within diamond-train record doom --out "$OUT/recordings" --episodes "$EPISODES" --workers "$WORKERS" \
    --seed 7 "${style[@]}"
stage prepared within diamond-train csgo-data prepare "$OUT/recordings" "$OUT/prepared" --workers "$WORKERS"

# First single steps at a large step size, then steps that go on from the stage's own frames, at a small one.
beginning=(--seed 1 ${INIT:+--init "$INIT"}) finishing=(--seed 2 --init "$OUT/first")
stage dynamics learn --out "$OUT/first" --components dynamics "${beginning[@]}" --set dynamics.updates="$DYNAMICS_UPDATES"
stage upsampler learn --out "$OUT/first" --components upsampler "${beginning[@]}" --set upsampler.updates="$UPSAMPLER_UPDATES"
stage finishing-dynamics learn --out "$OUT/run" --components dynamics "${finishing[@]}" \
    --set dynamics.updates="$DYNAMICS_FINISHING" --set dynamics.batch_size="$FINISHING_BATCH" \
    --set dynamics.autoregressive_steps=2 --set dynamics.optimiser.learning_rate=2e-4
stage finishing-upsampler learn --out "$OUT/run" --components upsampler "${finishing[@]}" \
    --set upsampler.updates="$UPSAMPLER_FINISHING" --set upsampler.autoregressive_steps=1 \
    --set upsampler.optimiser.learning_rate=2e-4

last whole diamond-train assemble --world "$OUT/run" --out "$OUT/whole" \
    --note "licence=MIT; learned from Freedoom (BSD-3-Clause)"
last fidelity diamond-eval fidelity "$OUT/whole" --data "$OUT/prepared" --episodes "$EVALUATED" --seed 1 \
    --device "$DEVICE" --report "$OUT/fidelity.json" --strip "$OUT/fidelity.png"
last response diamond-eval response "$OUT/whole" --data "$OUT/prepared" --seed 1 \
    --device "$DEVICE" --report "$OUT/response.json" --picture "$OUT/response.png"
echo "$OUT/whole is the world: diamond-play doom --weights $OUT/whole"
