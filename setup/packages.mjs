// The system packages that Muster needs, by what they are for. A command installs only what it uses:
// `check` can build and lint on a laptop, `start` adds the virtual rack, `test` adds the browser and the foreign peers.

const compile = {
  'build-essential': 'compiles the sqlite3 binding',
  python3: 'runs node-gyp',
};

const rack = {
  iproute2: 'bridge and taps of the virtual rack',
  'util-linux': 'unshare, nsenter, setpriv, flock',
  'perl-base': 'opens sockets bound to one interface',
  tcpdump: 'a pcap of each run',
  'qemu-system-arm': 'the boards',
  'qemu-efi-aarch64': 'UEFI firmware',
  'u-boot-qemu': 'U-Boot firmware',
  'u-boot-tools': "mkenvimage and mkimage: the boards' environment and boot.scr",
};

const images = {
  'ca-certificates': 'package downloads over TLS',
  'debian-archive-keyring': 'signatures of the arm64 packages',
  'squashfs-tools': 'the node image and customers’ images',
  'xz-utils': 'unpacks Debian packages',
  cpio: 'the initramfs',
  kmod: 'depmod and modinfo for the modules in the image',
  'binutils-aarch64-linux-gnu': 'looks into arm64 binaries',
  skopeo: "pulls customers' images from a registry",
};

const containers = {
  crun: 'runs the agent’s containers on this machine in tests',
  'busybox-static': 'the leash and the sample image on this machine in tests',
  nftables: 'the agent’s rules on this machine in tests',
  libfaketime: 'steps the controller’s clock in the drill of faults',
  'openssh-client': 'node-ssh against a board',
};

const peers = {
  chromium: 'the dashboard in a real browser',
  'tftp-hpa': 'a foreign TFTP client',
  atftp: 'a second foreign TFTP client, with blksize and multicast quirks',
  snmpd: 'the PDU of the tests',
  'dropbear-bin': 'the SSH of a board in the tests, without its service',
};

const service = {
  systemd: 'runs the installed package in a root of its own',
};

const anchors = {
  serf: 'spreads an event beside a kill order, for comparison',
};

const forStart = { ...compile, ...rack, ...images };

/** @type {Record<string, Record<string, string>>} command → package → what for */
export const packagesByCommand = {
  check: { ...compile, 'squashfs-tools': images['squashfs-tools'], cpio: images.cpio },
  simulate: compile,
  package: forStart,
  start: forStart,
  bench: { ...forStart, ...containers, ...anchors },
  test: { ...forStart, ...containers, ...peers, ...service },
};
