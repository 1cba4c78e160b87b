#!/bin/sh
# The initramfs: finds the network, fetches the root image by its sha256, and hands over to it.
# busybox sh runs its own applets (through /proc/self/exe), so it needs no links to them once /proc is there.
# Whatever goes wrong ends in a reboot after a bounded time: a board that nobody stands beside must try again by itself.
export PATH=/bin:/sbin
say() { echo "muster: $*"; }

/bin/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /run
read -r uptime _ </proc/uptime
say "initramfs at $uptime s"

for word in $(cat /proc/cmdline); do
  case $word in
  muster.http=*) http=${word#*=} ;;
  muster.root=*) root=${word#*=} ;;
  esac
done

# report STAGE [DETAIL]: tells the boot server where we are; a boot goes on without it.
report() {
  [ -n "$mac" ] || return 0
  detail=$(echo "$2" | tr -c 'A-Za-z0-9.\n' +)
  wget -q -T 3 -O /dev/null "$http/stage?mac=$mac&stage=$1${detail:+&detail=$detail}" || say "stage $1 not reported"
}

give_up() {
  say "$*; reboot in 10 s"
  report failed "$*"
  sleep 10
  reboot -f
}

[ -n "$http" ] && [ "${#root}" = 64 ] || give_up "no muster.http= or muster.root= on the kernel command line"

# The kernel names each device's module in modalias. Twice: what the first round loads may bring new devices (an MDIO bus).
for round in 1 2; do
  find /sys/devices -name modalias -exec cat {} + | sort -u | xargs modprobe -abq
done
modprobe -a loop squashfs overlay

# The first interface that has a cable and gets an answer. A copper link takes 2 to 4 s to come up, some switches 30 s more.
ip link set lo up
lease() {
  for path in /sys/class/net/*; do
    [ -e "$path/device" ] || continue
    nic=${path##*/}
    ip link set "$nic" up
    read -r carrier <"$path/carrier" && [ "$carrier" = 1 ] || continue
    read -r mac <"$path/address"
    say "link on $nic ($mac)"
    udhcpc -i "$nic" -f -q -n -t 5 -T 2 -A 1 -V muster-node -s /etc/udhcpc.sh && return 0
  done
  return 1
}
until lease 2>/run/lease.errors; do
  read -r uptime _ </proc/uptime
  [ "${uptime%.*}" -lt 120 ] || { cat /run/lease.errors; give_up "no link or no DHCP answer in 120 s"; }
  sleep 0.1
done
say "address $(ip -4 -o addr show dev "$nic" | awk '{print $4}') on $nic"
report initramfs

# 96 MB is twice the image: enough for the next ones, small enough that a wrong file cannot fill the memory.
mkdir -p /image /lower /upper /new
mount -t tmpfs -o size=96m,mode=700 tmpfs /image
mount -t tmpfs -o size=64m,mode=755 tmpfs /upper

grow() {
  while sleep 5; do say "root image: $(($(stat -c %s /image/root 2>/dev/null || echo 0) >> 20)) MB so far"; done
}
fetch() {
  grow &
  watcher=$!
  wget -q -c -T 20 -O /image/root "$http/image/$root"
  fetched=$?
  kill $watcher
  wait $watcher 2>/dev/null
  return $fetched
}
tries=0
pause=1
while :; do
  if fetch; then
    read -r uptime _ </proc/uptime
    say "root image fetched at $uptime s"
    echo "$root  /image/root" | sha256sum -c -s && break
    got=$(sha256sum /image/root)
    say "root image refused: sha256 is ${got%% *}, want $root"
    report refused-root "sha256 is ${got%% *}"
    rm -f /image/root
  fi
  tries=$((tries + 1))
  [ $tries -lt 10 ] || give_up "no root image after $tries tries"
  say "root image: try $tries failed, next in $pause s"
  sleep $pause
  [ $pause -ge 16 ] || pause=$((pause * 2))
done
read -r uptime _ </proc/uptime
say "root image verified at $uptime s"
report root-verified

mount -t squashfs -o loop,ro /image/root /lower || give_up "cannot mount the root image"
mkdir /upper/files /upper/work
cp -a /overlay/. /upper/files/
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new || give_up "no overlay"
mount -t tmpfs -o mode=755 tmpfs /new/run
echo "$nic" >/new/run/nic
cp /run/lease /new/run/lease
for dir in proc sys dev; do /bin/busybox mount --move /$dir /new/$dir; done
exec /bin/busybox switch_root /new /init
