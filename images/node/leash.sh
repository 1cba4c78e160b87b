#!/bin/sh
# The leash: kills a customer when the deadline that the agent wrote for it has passed, and resets the board where that does
# not help.
#
# Reads lines "<customer> <deadline>" from a FIFO, the deadline in hundredths of a second of /proc/uptime: the moment the
# permit's nonce was sent, plus the permit's 3 s. A customer without a deadline is dead. Every 0.25 s it looks at all
# customers, every 0.05 s while one of them dies, and it alone feeds the hardware watchdog.
#
# It never forks: with every process id taken a shell cannot, and a customer's fork bomb takes them all. So: builtins
# only ([, read, echo, eval, kill, set), no pipes, no $(), no subshells. Names of [a-z0-9_] only ever reach eval.
#
# And it never waits for a lock that a customer can hold up: it reads control groups and sends signals, but all writes to
# control groups and interfaces are the hand's (leash-hand.sh), which may hang. The leash then still kills, by the list of
# first processes that the agent keeps (when the first process of a pid namespace dies, the kernel kills all others in it),
# still counts, and still resets.
cd /sys/fs/cgroup/customers || exit 1
exec 3<>/run/leash/fifo 4>>/run/leash/log 6<>/run/leash/hand
# Where there is no watchdog a redirection would make a plain file of that name.
if [ -c /dev/watchdog0 ]; then exec 5>/dev/watchdog0; else exec 5>/dev/null; fi
# A link to /proc/sysrq-trigger, which PID 1 makes on a board. A test's machine has none, and is not reset.
if [ -e /run/leash/reset ]; then exec 7>/run/leash/reset 8>/dev/kmsg; else exec 7>/dev/null 8>/dev/null; fi

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
# started PID: when that process started, as the kernel counts; a number may be given away again. Its name, which is the
# customer's own choice, may hold anything but a line's end: what follows the last ") " is the kernel's.
started() {
  started=
  IFS= read -r stat </proc/"$1"/stat || return 0
  set -- ${stat##*) }
  started=${20}
}
# Kills the first process of each of the customer's containers.
shoot() {
  for file in /run/leash/first/"$1"/*; do
    read -r pid wanted <"$file" || continue
    case $pid in '' | *[!0-9]*) continue ;; esac
    started "$pid"
    [ -n "$started" ] && [ "$started" = "$wanted" ] && kill -9 "$pid"
  done
}

now
say "leash up"
looked=0
pause=0.25
# The hand says "-" when it has done what it was told, and only then gets more: a write to a full pipe would wait.
hand_is_free=1
hurries=0
while :; do
  # Waits for one character, and then reads the rest of the line, which is there: a line is one write. A read of the whole
  # line that gives up in the middle loses what it had, and heartbeats come every 0.75 s, just when such a read gives up.
  if IFS= read -r -n 1 -t $pause first <&3 && [ -n "$first" ] && IFS= read -r -t 0.25 line <&3; then
    line=$first$line
    customer=${line%% *}
    deadline=${line#* }
    now
    [ "$line" = - ] && hand_is_free=1
    case $customer in '' | *[!a-z0-9_]*) customer= ;; esac
    case $deadline in '' | *[!0-9]* | ???????????????*) customer= ;; esac
    # Nobody may vouch for longer than a permit lasts.
    [ -n "$customer" ] && [ "$deadline" -gt $((now + 300)) ] && deadline=$((now + 300))
    [ -n "$customer" ] && eval "deadline_$customer=$deadline"
  else
    now
  fi
  # A flood of lines buys no more than 5 looks a second, or 20 while somebody dies.
  if [ $pause = 0.25 ]; then gap=20; else gap=5; fi
  [ $((now - looked)) -ge $gap ] || continue
  looked=$now
  pause=0.25
  stuck=
  orders=
  for dir in */; do
    customer=${dir%/}
    case $customer in *[!a-z0-9_]*) continue ;; esac
    # killed_x: 1 while the kill of x is in force. looks_x: so many looks in a row has x outlived it.
    eval "deadline=\${deadline_$customer:-0} killed=\${killed_$customer:-0} looks=\${looks_$customer:-0}"
    if [ "$deadline" -gt "$now" ]; then
      [ "$killed" = 0 ] || { eval "killed_$customer=0 looks_$customer=0 lift_$customer=1"; say "$customer vouched for"; }
      eval "[ \${lift_$customer:-0} = 0 ]" || orders="$orders +$customer"
      continue
    fi
    [ "$killed" = 1 ] || { eval "killed_$customer=1 lift_$customer=0"; say "$customer killed"; }
    read -r _ populated <"$customer/cgroup.events" || populated=0 # the group is gone
    if [ "$populated" = 1 ]; then
      # The agent and the hand have killed by now, each in its own way; to look at each process takes a while.
      case $looks in 2 | 9) shoot "$customer" ;; esac
      pause=0.05
      orders="$orders -$customer!"
      looks=$((looks + 1))
      eval "looks_$customer=$looks"
      # Looks, not the clock: a machine that stands still gives processes no time to die in.
      [ $looks -le 17 ] || stuck=$customer
    else
      orders="$orders -$customer"
      [ "$looks" = 0 ] || { eval "looks_$customer=0"; say "$customer gone"; }
    fi
  done 2>/dev/null # a group may go away between the listing and the look
  if [ -n "$stuck" ]; then
    # Its neighbours lose the board for as long as it takes to boot. The lesser harm: what cannot be killed cannot be
    # promised to be dead, and a process that hangs in the kernel goes only with the board.
    say "$stuck outlives its kill, the board is reset"
    echo "muster: leash: $stuck outlives its kill by a second, the board is reset" >&8
    echo b >&7
  fi
  # Where the reset did not come, the watchdog's does.
  [ -n "$stuck" ] || echo >&5
  # Also an empty line: nobody dies any more.
  if [ $hand_is_free = 1 ] && [ -n "$orders" -o $hurries = 1 ]; then
    hand_is_free=0
    hurries=0
    for order in $orders; do
      case $order in
        *!) hurries=1 ;;
        +*) eval "lift_${order#+}=0" ;;
      esac
    done
    echo "$orders" >&6
  fi
done
