# PID 1 of namespaces of its own: makes what a machine has beside its root file system, and becomes its systemd.
#
#   unshare --pid --mount --net --uts --ipc --cgroup --fork sh boot-root.sh ROOT
set -e
root=$1
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mkdir -p "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ip link set lo up
ip link add eth1 type veth peer name far1
ip address add 10.77.0.1/24 dev eth1
ip link set far1 up
ip link set eth1 up
cd "$root"
pivot_root . mnt
umount -l /mnt
export container=test
exec /lib/systemd/systemd --unit=basic.target --log-target=null
