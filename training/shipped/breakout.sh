#!/usr/bin/env bash
# The world atari/Breakout from nothing: OUT=runs/breakout bash training/shipped/breakout.sh (see stages.sh, atari.sh).
GAME=Breakout
: "${KICKSTART_UPDATES:=1500}"
source "$(dirname "${BASH_SOURCE[0]}")/atari.sh"
