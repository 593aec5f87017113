#!/bin/bash
# down.sh: ends the cluster that up.sh started and removes all it had: its processes, network namespaces, loop devices,
# cgroups and files. Harmless when nothing is up.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || die 'down.sh must run as root'

# end FILE WORD: ends the process whose number is in FILE, if WORD is in its command line.
end() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ "$pid" != $$ ] && grep -q "$2" "/proc/$pid/cmdline" 2>/dev/null || return 0
  pkill -P "$pid" || true # of the guard, what it waits with
  kill "$pid" 2>/dev/null || true
}
end "$KUBE_STATE/door.pid" socat
end "$KUBE_STATE/guard.pid" down.sh
for dir in "$KUBE_STATE"/machine-*; do
  [ ! -d "$dir" ] || plug "${dir##*-}" &
done
wait
for file in /run/netns/"$KUBE_NAME"-*; do
  [ ! -e "$file" ] || ip netns delete "${file##*/}"
done
losetup -n -O NAME,BACK-FILE | while read -r device file; do
  case $file in "$KUBE_STATE"/*) losetup -d "$device" ;; esac
done
if [ -e "$KUBE_STATE/cgroups" ]; then
  while read -r group; do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done <"$KUBE_STATE/cgroups"
fi
rm -rf "$KUBE_STATE"
