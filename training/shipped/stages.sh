# shellcheck shell=bash
# What the scripts of this folder share: the stages of a world, within the minutes that one call may take.
#
#   OUT      folder of everything that is made; a call that finds it goes on where the last one stopped
#   MINUTES  time for this call (default: no limit); a stage that is cut short is saved and continued by the next call
#   DEVICE   torch device (default: auto, the fastest)
#   INIT     world whose weights the training starts from (default: random weights)

: "${OUT:?give the folder to work in, such as OUT=runs/breakout}"
DEVICE=${DEVICE:-auto}
started=$SECONDS

# minutes_left: of this call, without half a minute for saving; nothing where there is no limit.
minutes_left() {
    [ -z "${MINUTES:-}" ] || awk -v all="$MINUTES" -v gone="$((SECONDS - started))" 'BEGIN { print all - 0.5 - gone / 60 }'
}

# stage NAME COMMAND...: a command that takes --time-budget, unless it was finished before; ends the script with the minutes.
stage() {
    local name=$1 left budget=()
    shift
    [ ! -e "$OUT/finished/$name" ] || return 0
    left=$(minutes_left)
    if [ -n "$left" ]; then
        awk -v left="$left" 'BEGIN { exit !(left <= 0.1) }' && out_of_time "$name"
        budget=(--time-budget "$left")
    fi
    echo "== $name"
    "$@" "${budget[@]}"
    left=$(minutes_left)
    [ -z "$left" ] || ! awk -v left="$left" 'BEGIN { exit !(left <= 0.1) }' || out_of_time "$name"
    finish "$name"
}

# once NAME COMMAND...: a short command without a time budget, unless it was finished before.
once() {
    local name=$1
    shift
    [ ! -e "$OUT/finished/$name" ] || return 0
    echo "== $name"
    "$@"
    finish "$name"
}

finish() {
    mkdir -p "$OUT/finished"
    : > "$OUT/finished/$1"
}

out_of_time() {
    echo "the $MINUTES minutes are over in stage '$1': run the same command again to go on"
    exit 0
}
