#!/usr/bin/env bash
# The world health-gathering, ViZDoom's scenario of that name, from nothing: OUT=runs/health-gathering bash
# training/shipped/health-gathering.sh (see stages.sh, first-person.sh). Small networks, for one CPU core. Needs ViZDoom
# (pip install diamond-engine[doom]) and 130 MB of disk an episode.
here=$(dirname "${BASH_SOURCE[0]}")
: "${EPISODES:=72}" "${DYNAMICS_UPDATES:=60000}" "${DYNAMICS_FINISHING:=10000}" "${DREAMED_STEPS:=3}"
: "${FINISHING_BATCH:=16}" "${UPSAMPLER_UPDATES:=12000}" "${UPSAMPLER_FINISHING:=3000}" "${EVALUATED:=6}"
config=$here/health-gathering.yaml
# Half of the time to the nearest medkit, half of it any keys and turns: what an action does is to be learned anywhere.
style=(--scenario health_gathering --wander 0.5)
source "$here/first-person.sh"
