#!/usr/bin/env bash
# The world atari/Pong from nothing: OUT=runs/pong bash training/shipped/pong.sh (see stages.sh, atari.sh).
GAME=Pong
: "${KICKSTART_UPDATES:=1000}"  # the scripted player returns balls but seldom wins: dreams have to teach that
source "$(dirname "${BASH_SOURCE[0]}")/atari.sh"
