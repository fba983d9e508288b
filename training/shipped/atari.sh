# shellcheck shell=bash
# An Atari world from nothing: a ladder of players, what they saw, a world that dreams it, an agent trained in the dream.
# Sourced by the scripts of the games, which set GAME and what differs; every setting can be overridden from outside.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

: "${RANDOM_STEPS:=8000}" "${LADDER_STEPS:=150000}"        # of the data
: "${EXPERT_UPDATES:=4000}" "${EXPERT_ENVS:=128}"          # of the player trained on the real game
: "${DENOISER_SIZE:=small}" "${DENOISER_UPDATES:=20000}" "${FINISHING_UPDATES:=3000}" "${BATCH:=32}"
: "${REWARD_END_UPDATES:=2500}" "${REWARD_END_SIZE:=small}"
: "${AGENT_UPDATES:=5000}" "${AGENT_ENVS:=128}" "${AGENT_SIZE:=small}" "${AGENT_PRESET:=fast}" "${HORIZON:=15}"
: "${EPISODES:=20}"                                        # of the evaluation
data=$OUT/data common=(--device "$DEVICE")
init=(${INIT:+--init "$INIT"})

collect() { diamond-train collect "$GAME" --out "$data" "${common[@]}" "$@"; }
learn() {
    diamond-train world-model "$GAME" --data "$data" --denoiser-size "$DENOISER_SIZE" --reward-end-size "$REWARD_END_SIZE" \
        "${common[@]}" "$@"
}

# A ladder of players: random, scripted, trained on the real game for a few minutes; also as a person holds keys.
stage random collect --steps "$RANDOM_STEPS" --seed 1
stage random-held collect --steps "$RANDOM_STEPS" --hold 8 --seed 1
stage scripted collect --policy tracker --steps $((LADDER_STEPS / 3)) --epsilon 0.02 --epsilon 0.1 --epsilon 0.3 --seed 1
stage scripted-held collect --policy tracker --steps $((LADDER_STEPS / 3)) --epsilon 0.3 --epsilon 0.6 --hold 8 --seed 1
stage expert diamond-train atari "$GAME" --model-free --out "$OUT/expert" --updates "$EXPERT_UPDATES" \
    --num-envs "$EXPERT_ENVS" --horizon 16 --size "$AGENT_SIZE" --learning-rate 1e-3 --entropy 0.002 \
    --kickstart-updates $((EXPERT_UPDATES / 2)) "${common[@]}"
stage trained collect --policy "$OUT/expert" --steps $((LADDER_STEPS / 3)) --epsilon 0.01 --epsilon 0.1 --seed 1

# The denoiser: the sampler's levels, where it is wrong, on crops around motion; then whole frames and its own errors.
denoiser=(--components denoiser --sampler-share 1 --first-share 0.6 --balance --priority-share 0.5 --ema 0.999)
stage denoiser learn --out "$OUT/denoiser" "${init[@]}" "${denoiser[@]}" --updates "$DENOISER_UPDATES" \
    --batch-size "$BATCH" --crop 32 --autoregressive-steps 0 --learning-rate 1e-3 --seed 1
stage finishing learn --out "$OUT/finishing" --init "$OUT/denoiser/world" "${denoiser[@]}" --updates "$FINISHING_UPDATES" \
    --batch-size $((BATCH / 4)) --autoregressive-steps 3 --learning-rate 4e-4 --decay --seed 2

# The reward/end model: events first, then as often as they are, half of them dreamed: what it judges in play.
events=(--components reward-end --batch-size "$BATCH")
stage events learn --out "$OUT/events" --init "$OUT/finishing/world" "${events[@]}" --updates "$REWARD_END_UPDATES" \
    --learning-rate 5e-4 --event-share 0.5 --seed 1
stage world learn --out "$OUT/world" --init "$OUT/events/world" "${events[@]}" --updates "$REWARD_END_UPDATES" \
    --learning-rate 2e-4 --transitions 12 --dreamed-share 0.5 --decay --seed 2

# The agent, in the dream.
stage agent diamond-train agent "$GAME" --world "$OUT/world" --data "$data" --out "$OUT/agent" \
    --updates "$AGENT_UPDATES" --num-envs "$AGENT_ENVS" --horizon "$HORIZON" --size "$AGENT_SIZE" \
    --preset "$AGENT_PRESET" --kickstart-updates "$KICKSTART_UPDATES" --learning-rate 6e-4 --entropy 0.002 "${common[@]}"

last whole diamond-train assemble --world "$OUT/agent" --out "$OUT/whole" --note licence=MIT
last fidelity diamond-eval fidelity "$OUT/whole" --episodes "$EPISODES" --seed 1 "${common[@]}" \
    --report "$OUT/fidelity.json" --strip "$OUT/fidelity.png"
last score diamond-eval agent "$OUT/whole" --episodes "$EPISODES" --seed 1 "${common[@]}" --report "$OUT/score.json"
echo "$OUT/whole is the world: diamond-play atari $GAME --weights $OUT/whole --agent"
