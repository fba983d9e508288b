# shellcheck shell=bash
# A first-person world from recordings of ViZDoom: dynamics, upsampler, what they are worth. Sourced by the scripts of the
# worlds, which set config (the YAML of their networks), style (how games are recorded) and what differs; every setting
# can be overridden from outside.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

: "${WORKERS:=$(nproc)}" "${COMPILE:=--no-compile}" "${DREAMED_STEPS:=2}"  # autoregressive steps of the finished dynamics

learn() {
    diamond-train csgo --data "$OUT/prepared" --preset quick --config "$config" "$COMPILE" --device "$DEVICE" \
        ${SETTINGS:-} "$@"
}

stage recordings within diamond-train record doom --out "$OUT/recordings" --episodes "$EPISODES" --workers "$WORKERS" \
    --seed 7 "${style[@]}"
stage prepared within diamond-train csgo-data prepare "$OUT/recordings" "$OUT/prepared" --workers "$WORKERS"

# First single steps at a large step size, then steps that go on from the stage's own frames, at a small one.
beginning=(--seed 1 ${INIT:+--init "$INIT"}) finishing=(--seed 2 --init "$OUT/first")
stage dynamics learn --out "$OUT/first" --components dynamics "${beginning[@]}" --set dynamics.updates="$DYNAMICS_UPDATES"
stage upsampler learn --out "$OUT/first" --components upsampler "${beginning[@]}" --set upsampler.updates="$UPSAMPLER_UPDATES"
stage finishing-dynamics learn --out "$OUT/run" --components dynamics "${finishing[@]}" \
    --set dynamics.updates="$DYNAMICS_FINISHING" --set dynamics.batch_size="$FINISHING_BATCH" \
    --set dynamics.autoregressive_steps="$DREAMED_STEPS" --set dynamics.optimiser.learning_rate=2e-4
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
