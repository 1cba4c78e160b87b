#!/bin/sh
# PID 1 of a node on this machine: in namespaces of its own it does what images/node/init.sh does on a board, and in the
# same order. Also what udhcpc calls with what it learnt.
#
#   node-init.sh MAC BOOT_ID     with AGENT (the bundle's directory), LEASH (its scripts'), PRELOAD, SECCOMP, RACK in the environment
case $1 in
deconfig | leasefail | nak) exit 0 ;;
bound | renew)
  ip address replace "$ip/$mask" broadcast + dev "$interface"
  echo "$ip" >/run/lease
  exit 0
  ;;
esac
mac=$1
boot_id=$2
say() { echo "node $mac: $*"; }

set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs tmpfs /run
# The leash must not feed this machine's own watchdog: a stop of the drill would then reset it.
for device in /dev/watchdog /dev/watchdog0; do [ ! -e $device ] || mount --bind /dev/null $device; done
mkdir /sys/fs/cgroup/system /sys/fs/cgroup/customers
echo $$ >/sys/fs/cgroup/system/cgroup.procs
until [ -e /sys/class/net/eth0 ]; do sleep 0.05; done
ip link set lo up
ip link set eth0 up
busybox udhcpc -i eth0 -f -S -t 100 -T 1 -A 1 -V muster-node -s "$0" 2>/dev/null &
until [ -e /run/lease ]; do sleep 0.05; done

# The token, as a board gets it: from the script that the boot server makes for this MAC address.
# (Not by busybox's wget: the static one of this machine's Debian cannot look names up, and falls over it.)
fetch='const { env } = process; const answer = await fetch(env.URL); process.stdout.write(await answer.text());'
until URL="http://$RACK:8480/boot.ipxe?mac=$mac" node --input-type=module -e "$fetch" >/run/boot.ipxe 2>/dev/null &&
  grep -q muster.token /run/boot.ipxe; do
  sleep 0.2
done
for word in $(grep imgargs /run/boot.ipxe); do
  case $word in muster.*=*) flags="$flags --${word#muster.}" ;; esac
done
flags=$(for flag in $flags; do case $flag in --api=* | --udp=* | --fp=* | --token=*) echo "$flag" ;; esac; done)

# On a board the pause grows to 8 s while the agent keeps ending. Here it does not: the drill kills it run after run, and
# wants it back within each.
forever() {
  while :; do
    "$@" || ended=$?
    say "$1 ended with $ended, starts again in 1 s"
    sleep 1
  done
}
agent() {
  node --import "$PRELOAD" --lite-mode --max-semi-space-size=1 "$AGENT/agent.mjs" $flags --mac="$mac" --boot-id="$boot_id" \
    --interface=eth0 --run-dir=/run/muster --leash-fifo=/run/leash/fifo --seccomp="$SECCOMP" --no-limits 2>&1
}

mkdir -m 700 /run/leash
mkfifo -m 600 /run/leash/fifo /run/leash/hand
forever agent &

set +e
cp /bin/busybox /run/leash/busybox
# As on a board, as far as this machine lets root do it.
for priority in "chrt -f 10 choom -n -1000 --" "chrt -f 10" ""; do
  $priority true 2>/dev/null && break
done
say "the leash runs by '$priority'"
# Without /run/leash/reset, which on a board leads to the kernel's: here that is this machine's own.
forever /run/leash/busybox sh "$LEASH/leash-hand.sh" 2>/dev/null &
while :; do
  $priority /run/leash/busybox sh "$LEASH/leash.sh" 2>/dev/null &
  wait $!
  echo 1 >/sys/fs/cgroup/customers/cgroup.kill
  say "leash ended, all customers stopped"
  sleep 0.1
done
