# shellcheck shell=bash
# What the servers' scripts share: one life cycle. Sourced, never run.
#
#   SCRIPT [--leash] DIR     makes DIR, starts its processes, prints one line that begins with
#                            "ready", and stays in the foreground
#
# It ends on TERM, INT or HUP, when one of its processes ends, and with --leash when its standard
# input closes: a caller that holds the other end of that pipe can be killed in any way. Whatever
# ends it, its processes are killed and DIR is removed. Even a SIGKILL of the script itself takes
# its processes along; then only DIR stays.
set -euo pipefail
umask 077

# shellcheck disable=SC2034 # for those who source this
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me=$(basename "$0")
leashed=
dir=
pids=()
declare -A names=()
service= # pid of the latest `start`

# fail MESSAGE...
fail() {
  echo "$me: $*" >&2
  exit 1
}

# life_cycle DIR: from here on DIR is ours and goes with us.
life_cycle() {
  [ -n "${1:-}" ] || fail "usage: $me [--leash] DIR"
  # An absolute path without links: servers and kubeconfig refer to it.
  dir=$(realpath -m "$1")
  mkdir -p "$(dirname "$dir")"
  # Never adopt a folder that somebody else made: it is deleted at the end.
  mkdir "$dir" || fail "$dir must not exist yet"
  exec 3<&0
  trap cleanup EXIT
  trap 'exit 0' TERM INT HUP
  if [ -n "$leashed" ]; then
    (while read -r _; do :; done <&3) >/dev/null 2>&1 &
    pids+=($!)
    names[$!]=leash
  fi
}

# all_killed: what else goes at the end, once the processes are killed. Scripts replace it.
all_killed() { :; }

# Throwaway servers: nothing in them is worth an orderly shutdown, which takes the apiserver a minute.
cleanup() {
  local status=$?
  trap - EXIT TERM INT HUP
  exec 2>/dev/null # else bash reports each process that we kill
  [ ${#pids[@]} -eq 0 ] || kill -KILL "${pids[@]}" || true
  wait || true
  all_killed || true
  rm -rf "$dir"
  exit "$status"
}

# start NAME COMMAND...: in the background, log in DIR/NAME.log, killed by the kernel if we die first.
start() {
  local name=$1
  shift
  # A line of its own for each attempt, so that a retry doesn't read the last one's error.
  : >"$dir/$name.log"
  setpriv --pdeathsig KILL "$@" </dev/null >>"$dir/$name.log" 2>&1 3<&- &
  service=$!
  pids+=("$service")
  names[$service]=$name
}

# forget PID: it ended and that is handled.
forget() {
  wait "$1" 2>/dev/null || true
  local pid kept=()
  for pid in "${pids[@]}"; do [ "$pid" = "$1" ] || kept+=("$pid"); done
  pids=(${kept[@]+"${kept[@]}"})
}

# early_end NAME: shows why a process ended and gives up.
early_end() {
  echo "$me: $1 ended; its log ends with:" >&2
  tail -n 25 "$dir/$1.log" >&2
  exit 1
}

# until_ready SECONDS NAME PID COMMAND...: repeats COMMAND until it succeeds.
# 1: the process could not bind its port (try another); its end for another reason ends the script.
until_ready() {
  local deadline=$((SECONDS + $1)) name=$2 pid=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$pid" 2>/dev/null; then
      grep -q 'address already in use' "$dir/$name.log" || early_end "$name"
      forget "$pid"
      return 1
    fi
    all_alive
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "$me: $name is not ready in time" >&2
      early_end "$name"
    fi
    sleep 0.05
  done
}

# all_alive: ends the script when one of its processes ended, or the holder of the leash.
all_alive() {
  local pid
  for pid in "${pids[@]}"; do
    kill -0 "$pid" 2>/dev/null || ended "$pid"
  done
}

# ended PID: what the end of that process means for all.
ended() {
  [ "${names[$1]}" = leash ] || early_end "${names[$1]}"
  exit 0
}

# Sets `port` to one where nobody listens, below the range from which the kernel serves clients. Another
# process may still take it before ours binds: hence the retries on "address already in use".
free_port() {
  local tries
  for tries in {1..100}; do
    port=$((20000 + (SRANDOM % 12000)))
    (exec 4<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
  done
  fail "no free port after $tries tries"
}

# listens PID PORT: that very process does (a stranger's port must not pass for ours).
listens() {
  local inode
  inode=$(awk -v port="$(printf ':%04X' "$2")" \
    '$4 == "0A" && substr($2, length($2) - 4) == port { print $10; exit }' "/proc/$1/net/tcp")
  [ -n "$inode" ] && [ -n "$(find "/proc/$1/fd" -lname "socket:\[$inode\]" -print -quit)" ]
}

# serve LINE: says that all is up, then waits for the end.
serve() {
  echo "$1"
  # The caller may close its end of the pipe now; nothing more is printed there.
  exec >/dev/null
  # Asked again and again: `wait -n` never hears of a process that ended just before it.
  while :; do
    all_alive
    sleep 0.3
  done
}
