#!/bin/sh
# The leash: kills a customer's control group when the deadline that the agent wrote for it has passed.
#
# Reads lines "<customer> <deadline>" from a FIFO, the deadline in hundredths of a second of /proc/uptime: the moment the
# permit's nonce was sent, plus the permit's 3 s. A customer without a deadline is dead. Every 0.25 s it sweeps all
# customers, and it alone feeds the hardware watchdog.
#
# It never forks: with every process id taken a shell cannot, and a customer's fork bomb takes them all. So: builtins
# only ([, read, echo, eval), no pipes, no $(), no subshells. Names of [a-z0-9_] only ever reach eval.
cd /sys/fs/cgroup/customers || exit 1
exec 3<>/run/leash/fifo 4>>/run/leash/log
# Where there is no watchdog a redirection would make a plain file of that name.
if [ -c /dev/watchdog0 ]; then exec 5>/dev/watchdog0; else exec 5>/dev/null; fi

now() {
  read -r uptime _ </proc/uptime
  now=${uptime%.*}${uptime#*.}
}
# The log lives in memory: it starts again after 1000 lines.
lines=0
say() {
  lines=$((lines + 1))
  [ $lines -lt 1000 ] || { lines=0; : >/run/leash/log; }
  echo "$uptime $*" >&4
}
stop() {
  echo 0 >"$1/cgroup.max.descendants"
  echo 1 >"$1/cgroup.kill"
}
# What dies does so on its own processor time, of which its limits and its share may leave next to none: no limit any more,
# and the greatest share.
hasten() {
  echo 10000 >"$1/cpu.weight"
  for group in "$1"/*/; do echo max >"${group}cpu.max"; done
}
# Takes the customer's bridge down, if the agent has not. The write spins for the network's one lock, and at real-time
# priority a single core then has next to no time for whoever holds it: so only when needed, and after the feeding.
cut() {
  read -r flags <"/sys/class/net/br-$1/flags" || return 0
  [ $((flags & 1)) = 0 ] || echo 0x1002 >"/sys/class/net/br-$1/flags"
}

now
say "leash up"
swept=0
share=
while :; do
  # Waits for one character, and then reads the rest of the line, which is there: a line is one write. A read of the whole
  # line that gives up in the middle loses what it had, and heartbeats come every 0.75 s, just when such a read gives up.
  # No splitting: after the first letter of a name of one letter comes the space.
  if IFS= read -r -n 1 -t 0.25 first <&3 && [ -n "$first" ] && IFS= read -r -t 0.25 rest <&3; then
    line=$first$rest
    customer=${line%% *}
    deadline=${line#* }
    now
    case $customer in '' | *[!a-z0-9_]*) customer= ;; esac
    case $deadline in '' | *[!0-9]* | ???????????????*) customer= ;; esac
    # Nobody may vouch for longer than a permit lasts.
    [ -n "$customer" ] && [ "$deadline" -gt $((now + 300)) ] && deadline=$((now + 300))
    [ -n "$customer" ] && eval "deadline_$customer=$deadline"
  else
    now
  fi
  [ $((now - swept)) -ge 20 ] || continue # a flood of lines buys no more than 5 sweeps a second
  swept=$now
  stuck=
  stopped=
  wanted=100
  for dir in */; do
    customer=${dir%/}
    case $customer in *[!a-z0-9_]*) continue ;; esac
    # killed_x: when the kill of x that is still in force was first written, 0 while x may run.
    eval "deadline=\${deadline_$customer:-0} killed=\${killed_$customer:-0}"
    if [ "$deadline" -gt "$now" ]; then
      [ "$killed" = 0 ] && continue
      eval "killed_$customer=0"
      echo 100 >"$customer/cpu.weight"
      echo max >"$customer/cgroup.max.descendants"
      say "$customer vouched for"
      continue
    fi
    stop "$customer"
    stopped="$stopped $customer"
    if [ "$killed" = 0 ]; then
      eval "killed_$customer=$now"
      say "$customer killed"
      hasten "$customer"
      wanted=10000
      continue
    fi
    read -r _ populated <"$customer/cgroup.events" || continue # the group is gone
    if [ "$populated" = 1 ]; then
      hasten "$customer"
      wanted=10000
      # Some hundred processes take a slow core over a second to die, and get fewer; what hangs does not.
      eval "before=\${left_$customer:-0}"
      read -r left <"$customer/pids.current" || left=0
      eval "left_$customer=$left"
      [ $((now - killed)) -gt 100 ] && [ "$left" -ge "$before" ] && stuck=$customer
      [ $((now - killed)) -gt 200 ] && stuck=$customer
    else
      eval "killed_$customer=$now"
    fi
  done 2>/dev/null # a group may go away between the listing and the write
  # All customers together, beside the system's 1000: while some die, and no longer.
  [ "$share" = "$wanted" ] || { share=$wanted; [ ! -e cpu.weight ] || echo "$share" >cpu.weight; }
  # Processes that outlive their kill: let the watchdog reset the board.
  if [ -z "$stuck" ]; then echo >&5; else say "$stuck is stuck, watchdog not fed"; fi
  for customer in $stopped; do cut "$customer"; done 2>/dev/null
done
