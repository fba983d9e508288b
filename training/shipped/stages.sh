# shellcheck shell=bash
# What the scripts of this folder share: the stages of a world, within the minutes that one call may take.
#
#   OUT      folder of everything that is made; a call that finds it goes on where the last one stopped
#   MINUTES  time for this call (default: no limit); a stage that is cut short is saved and continued by the next call
#   SAVING   minutes of them that are kept for saving (default: 0.5)
#   DEVICE   torch device (default: auto, the fastest)
#   INIT     world whose world model the training starts from (default: random weights); players and agent start anew

: "${OUT:?give the folder to work in, such as OUT=runs/breakout}"
DEVICE=${DEVICE:-auto} SAVING=${SAVING:-0.5}
if [ -n "${MINUTES:-}" ] && ! awk -v m="$MINUTES" 'BEGIN { exit !(m ~ /^[0-9.]+$/ && m > 0) }'; then
    echo "MINUTES must be a number above 0, not $MINUTES" >&2
    exit 2
fi
started=$SECONDS

# minutes_left: of this call, without those for saving; nothing where there is no limit.
minutes_left() {
    [ -z "${MINUTES:-}" ] || awk -v all="$MINUTES" -v saving="$SAVING" -v gone="$((SECONDS - started))" \
        'BEGIN { print all - saving - gone / 60 }'
}

# stage NAME COMMAND...: a command that takes --time-budget, unless it was finished before as it stands; ends the script with
# the minutes.
stage() {
    local name=$1 left budget=()
    shift
    ! is_finished "$name" "$@" || return 0
    rm -f "$OUT/finished/last-"*
    left=$(minutes_left)
    if [ -n "$left" ]; then
        awk -v left="$left" 'BEGIN { exit !(left <= 0.1) }' && out_of_time "$name"
        budget=(--time-budget "$left")
    fi
    echo "== $name"
    "$@" "${budget[@]}"
    left=$(minutes_left)
    [ -z "$left" ] || ! awk -v left="$left" 'BEGIN { exit !(left <= 0.1) }' || out_of_time "$name"
    printf '%s\n' "$*" > "$OUT/finished/$name"
}

# last NAME COMMAND...: a short command without a time budget after all stages, unless it was finished after the same ones.
last() {
    local name=last-$1
    shift
    ! is_finished "$name" "$@" || return 0
    echo "== $name"
    "$@"
    printf '%s\n' "$*" > "$OUT/finished/$name"
}

# within COMMAND... [--time-budget MINUTES]: for commands without a budget of their own, that go on after a signal.
within() {
    local minutes=${*: -1} command=("${@:1:$#-2}") code=0
    if [ "${*: -2:1}" != --time-budget ]; then
        "$@"
        return
    fi
    timeout --signal=INT "$(awk -v m="$minutes" 'BEGIN { printf "%d", 60 * m }')" "${command[@]}" || code=$?
    case $code in 124 | 130) out_of_time "${command[1]}" ;; *) return $code ;; esac
}

# is_finished NAME COMMAND...: whether this very command was; an empty file says so of any, for data from elsewhere.
is_finished() {
    mkdir -p "$OUT/finished"
    [ -e "$OUT/finished/$1" ] && { [ ! -s "$OUT/finished/$1" ] || [ "$(cat "$OUT/finished/$1")" = "${*:2}" ]; }
}

out_of_time() {
    echo "the $MINUTES minutes are over in stage '$1': run the same command again to go on"
    exit 0
}
