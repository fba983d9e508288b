#!/usr/bin/env bash
# The world doom from nothing: OUT=runs/doom bash training/shipped/doom.sh (see stages.sh,
# first-person.sh). SIZE=large (default) wants a GPU; SIZE=small is about what the bundled world was made with: the first
# rooms, no monsters, small networks, two or three hours of one CPU core. Needs ViZDoom (pip install diamond-engine[doom]) and 130 MB of disk an episode.
here=$(dirname "${BASH_SOURCE[0]}")
: "${SIZE:=large}"
config=$here/doom-$SIZE.yaml
# What an action does is learned from hands that do anything anywhere; where one is, from an explorer that gets around.
if [ "$SIZE" = small ]; then
    : "${EPISODES:=64}" "${DYNAMICS_UPDATES:=16000}" "${DYNAMICS_FINISHING:=3000}" "${FINISHING_BATCH:=8}"
    : "${UPSAMPLER_UPDATES:=6000}" "${UPSAMPLER_FINISHING:=2500}" "${EVALUATED:=6}"
    style=(--reach 75 --no-monsters --wander 0.6)
else
    : "${EPISODES:=240}" "${DYNAMICS_UPDATES:=60000}" "${DYNAMICS_FINISHING:=15000}" "${FINISHING_BATCH:=32}"
    : "${UPSAMPLER_UPDATES:=30000}" "${UPSAMPLER_FINISHING:=5000}" "${EVALUATED:=20}" "${COMPILE:=--compile}"
    style=(--wander 0.4)
fi
source "$here/first-person.sh"
