#!/bin/sh
# The leash's hand: writes to control groups and interfaces what the leash orders, one line of orders at a time, and answers
# each line with "-". Such a write may wait for a lock of the kernel that a customer's processes hold up; the leash, which
# must not, then goes on without it.
#
#   -x    x may not run: forbid new containers, kill what there is, take its bridge down
#   -x!   the same, and something of x is alive: give the dying the processor
#   +x    x may run again
#
# Builtins only, as in leash.sh.
cd /sys/fs/cgroup/customers || exit 1
exec 3<>/run/leash/fifo 4<>/run/leash/hand

# What dies does so on its own processor time, of which its limits and its share may leave next to none: no limit any more,
# and the greatest share. Before the kill: these writes wait for nobody, and free whoever holds what the kill waits for.
hasten() {
  echo 10000 >"$1/cpu.weight"
  for group in "$1"/*/; do echo max >"${group}cpu.max"; done
}
stop() {
  echo 0 >"$1/cgroup.max.descendants"
  echo 1 >"$1/cgroup.kill"
}
# Takes the customer's bridge down, if the agent has not. The write spins for the network's one lock, which the end of the
# containers' networks holds just then: so last, only when needed, and in a process that is not real-time.
cut() {
  read -r flags <"/sys/class/net/br-$1/flags" || return 0
  [ $((flags & 1)) = 0 ] || echo 0x1002 >"/sys/class/net/br-$1/flags"
}
# share WEIGHT: of all customers together, beside the system's 1000: the greatest while some die, and no longer.
share=
share() {
  [ "$share" = "$1" ] || [ ! -e cpu.weight ] || echo "$1" >cpu.weight
  share=$1
}

# A hand that ended in the middle of a line has answered nothing.
echo - >&3
while :; do
  IFS= read -r orders <&4 || continue
  case $orders in *!*) share 10000 ;; *) share 100 ;; esac
  for order in $orders; do
    customer=${order#?}
    customer=${customer%!}
    case $order in *!) hasten "$customer" ;; esac
    case $order in
      -*) stop "$customer" ;;
      +*)
        echo 100 >"$customer/cpu.weight"
        echo max >"$customer/cgroup.max.descendants"
        ;;
    esac
  done
  for order in $orders; do
    customer=${order#-}
    case $order in -*) cut "${customer%!}" ;; esac
  done
  echo - >&3
done 2>/dev/null # a group may go away between the order and the write
