#!/bin/sh
# PID 1 of a node: mounts, control groups, watchdog, remote shell, agent, and then nothing but guarding the leash.
# When it exits the kernel panics and the board resets, which is the right end for a node without a guard.
export PATH=/usr/bin HOME=/root TERM=linux
set -o pipefail
say() { echo "muster: $*"; }
prefixed() { # prefixed NAME: shows the output of NAME as a line of ours
  while IFS= read -r line; do
    case $line in muster*) echo "$line" ;; *) echo "muster: $1: $line" ;; esac
  done
}
value() { # value KEY: of KEY=value on the kernel command line
  for word in $(cat /proc/cmdline); do
    case $word in "$1"=*) echo "${word#*=}" ;; esac
  done
}

mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o size=16m tmpfs /dev/shm
mount -t tmpfs -o size=64m tmpfs /tmp
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
read -r nic </run/nic
read -r mac <"/sys/class/net/$nic/address"
hostname "node-$(echo "$mac" | tr -d :)"
echo 5 >/proc/sys/kernel/panic
echo 1 >/proc/sys/kernel/panic_on_oops
read -r uptime _ </proc/uptime
say "init on $(hostname), kernel $(uname -r), at $uptime s"

# All customers together leave the system 256 MB. A fork bomb of 1024 tasks is gone 0.4 s after its kill (one slow core);
# the time grows with the number, and the five seconds have 0.75 for it.
cd /sys/fs/cgroup || exit 1
echo '+cpu +cpuset +io +memory +pids' >cgroup.subtree_control
mkdir system customers
echo '+cpu +cpuset +io +memory +pids' >customers/cgroup.subtree_control
memory_kb=$(awk '/^MemTotal/ {print $2}' /proc/meminfo)
echo $(((memory_kb - 262144) * 1024)) >customers/memory.max
echo 1024 >customers/pids.max
echo 96M >system/memory.min
echo 1000 >system/cpu.weight
echo $$ >system/cgroup.procs
cd /

# What containers share with the whole board, whoever asks first. All customers' 1024 tasks have 1,024 files each at most
# (agent/containers/oci/oci-config.ts): a fourth of what the kernel gives, which is by default a tenth of the memory and was less.
set_kernel() { while read -r key value; do [ ! -e "/proc/sys/$key" ] || echo "$value" >"/proc/sys/$key" || say "cannot set $key"; done; }
set_kernel <<'END'
fs/file-max 4194304
fs/pipe-user-pages-hard 16384
fs/inotify/max_user_instances 128
fs/inotify/max_user_watches 16384
fs/epoll/max_user_watches 16384
user/max_user_namespaces 512
kernel/dmesg_restrict 1
kernel/kptr_restrict 2
kernel/perf_event_paranoid 3
kernel/unprivileged_bpf_disabled 1
kernel/io_uring_disabled 2
kernel/kexec_load_disabled 1
vm/unprivileged_userfaultfd 0
END

# Watchdogs first, with our settings: 2 s from the last feed to the reset, and closing the device does not disarm it.
modprobe -q i6300esb heartbeat=2 nowayout=1
modprobe -q meson_gxbb_wdt timeout=2 nowayout=1
find /sys/devices -name modalias -exec cat {} + | sort -u | xargs modprobe -abq
[ -c /dev/watchdog0 ] || say "no hardware watchdog on this machine"

# forever COMMAND…: a child of PID 1 that starts COMMAND again when it ends, after 1 s, or up to 8 s when it keeps ending at
# once: starting Node.js takes a small board's core for 2 s. The memory killer takes anything else first; the agent itself
# must not inherit that, nor pass it on to its containers.
forever() {
  echo -900 >/proc/self/oom_score_adj
  pause=1
  while :; do
    read -r started _ </proc/uptime
    "$@"
    ended=$?
    read -r uptime _ </proc/uptime
    if [ $((${uptime%.*} - ${started%.*})) -ge 30 ]; then pause=1; fi
    say "$1 ended with $ended, starts again in $pause s"
    sleep $pause
    if [ $pause -lt 8 ]; then pause=$((pause * 2)); fi
  done
}
ordinary() { (echo 0 >/proc/self/oom_score_adj; exec "$@"); }

dhcp() {
  rm -f /run/lease.held
  ordinary udhcpc -i "$nic" -f -R -r "${1%/*}" -V muster-node -s /etc/udhcpc.sh >/dev/null 2>&1
}

# The key of the host is made anew at each boot: nothing on a board outlives a boot.
remote_shell() {
  read -r lease </run/lease
  ordinary dropbear -F -E -s -j -k -m -r /run/ssh/host_key -D /run/ssh -p "${lease%/*}:22" -P /run/ssh/pid 2>&1 | prefixed ssh
}
key=$(value muster.ssh)
if [ -n "$key" ]; then
  mkdir -p -m 700 /run/ssh
  dropbearkey -t ed25519 -f /run/ssh/host_key >/dev/null 2>&1
  (umask 077 && echo "ssh-ed25519 $key controller" >/run/ssh/authorized_keys)
  forever remote_shell &
else
  say "no muster.ssh= key on the kernel command line, no remote shell"
fi
read -r lease </run/lease
forever dhcp "$lease" &

mkdir -m 700 /run/leash
mkfifo -m 600 /run/leash/fifo /run/leash/hand
ln -s /proc/sysrq-trigger /run/leash/reset

# Flags that keep the agent small: no optimising compiler, a young generation of 1 MB. Containers inherit at most its
# number of open files; the kernel's default of 4,096 is small for a server.
agent() {
  ulimit -n 65536
  NODE_COMPILE_CACHE=/run/compile-cache ordinary \
    node --lite-mode --max-semi-space-size=1 /opt/muster/agent.mjs 2>&1 | prefixed agent
}
forever agent &

# The dashboard's last word before the agent calls in by itself.
wget -q -T 3 -O /dev/null "$(value muster.http)/stage?mac=$mac&stage=system" &

# The leash must run when nothing else can: real-time, never killed for memory, and a copy of the shell in memory
# so that no page of it has to come from the loop device. If it ends, nobody is vouched for: stop everybody.
cp /usr/bin/busybox /run/leash/busybox
# Not real-time: taking a bridge down spins until whoever holds the network's lock has had the processor.
hand() {
  choom -n -1000 -- /run/leash/busybox sh /opt/muster/leash-hand.sh 2>/dev/null &
  /run/leash/busybox renice -n -20 -p $!
  wait $!
}
forever hand &
while :; do
  chrt -f 10 choom -n -1000 -- /run/leash/busybox sh /opt/muster/leash.sh 2>/dev/null &
  echo $! >/run/leash/pid
  wait $!
  echo 1 >/sys/fs/cgroup/customers/cgroup.kill
  read -r uptime _ </proc/uptime
  say "leash ended, all customers stopped, at $uptime s"
  sleep 0.1
done
