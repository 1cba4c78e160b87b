// What a hostile customer would run. Two parts:
//
//   hostile refused                      tries what no container may, and prints each with what came of it
//   hostile dear KIND PROCESSES SIZE USERS   makes much of what the kernel must take down when a process dies, prints
//                                        `ready KIND <how much>`, and waits to be killed; with USERS 1 each process becomes
//                                        another user first, because the kernel counts some of it for a user
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void tell(const char *what, long result) {
  printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
  fflush(stdout);
}

static int nothing(void *none) {
  (void)none;
  return 0;
}

static void refused(void) {
  static char stack[65536];
  static const struct { const char *name; int flag; } spaces[] = {
    {"mount", CLONE_NEWNS}, {"cgroup", CLONE_NEWCGROUP}, {"uts", CLONE_NEWUTS}, {"ipc", CLONE_NEWIPC},
    {"user", CLONE_NEWUSER}, {"pid", CLONE_NEWPID}, {"net", CLONE_NEWNET},
  };
  char what[64];
  for (unsigned i = 0; i < sizeof spaces / sizeof *spaces; i++) {
    snprintf(what, sizeof what, "unshare %s", spaces[i].name);
    tell(what, unshare(spaces[i].flag));
    snprintf(what, sizeof what, "clone %s", spaces[i].name);
    tell(what, clone(nothing, stack + sizeof stack, spaces[i].flag | SIGCHLD, NULL));
    snprintf(what, sizeof what, "clone user and %s", spaces[i].name);
    tell(what, clone(nothing, stack + sizeof stack, spaces[i].flag | CLONE_NEWUSER | SIGCHLD, NULL));
  }
  unsigned long long arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
  tell("clone3", syscall(SYS_clone3, arguments, sizeof arguments));
  tell("setns", setns(open("/proc/self/ns/user", O_RDONLY), 0));
  tell("mount", mount("none", "/tmp", "cgroup2", 0, NULL));
  tell("umount2", umount2("/proc", MNT_DETACH));
  tell("pivot_root", syscall(SYS_pivot_root, "/", "/tmp"));
  tell("fsopen", syscall(SYS_fsopen, "cgroup2", 0));
  tell("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
  tell("move_mount", syscall(SYS_move_mount, AT_FDCWD, "/", AT_FDCWD, "/tmp", 0));
  tell("mount_setattr", syscall(SYS_mount_setattr, AT_FDCWD, "/proc", 0, NULL, 0));
  tell("mknod", mknod("/tmp/null", S_IFCHR | 0666, 1 << 8 | 3));
  tell("mknod of a disk", mknod("/tmp/disk", S_IFBLK | 0666, 7 << 8));
  tell("sethostname", sethostname("other", 5));
  tell("clock_settime", clock_settime(CLOCK_REALTIME, &(struct timespec){0, 0}));
  tell("nice", setpriority(PRIO_PROCESS, 0, -20));
  tell("real time", sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}));
  tell("a mount’s sysctl", open("/proc/sys/fs/mount-max", O_WRONLY));
  tell("a sysctl", open("/proc/sys/kernel/shmmni", O_WRONLY));
  tell("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, stack, 0));
  tell("chroot", chroot("/"));
  tell("chown", chown("/tmp", 1000, 1000));
  tell("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
  tell("add_key", syscall(SYS_add_key, "user", "a", "b", 1, -3));
  tell("keyctl", syscall(SYS_keyctl, 0, -3, 1));
  tell("bpf", syscall(SYS_bpf, 0, NULL, 0));
  tell("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
  tell("userfaultfd", syscall(SYS_userfaultfd, 0));
  tell("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
  tell("syslog", syscall(SYS_syslog, 3, stack, sizeof stack));
  static const struct { const char *name; int family, type, protocol; } sockets[] = {
    {"packet", AF_PACKET, SOCK_RAW, 0}, {"alg", AF_ALG, SOCK_SEQPACKET, 0}, {"vsock", AF_VSOCK, SOCK_STREAM, 0},
    {"netfilter", AF_NETLINK, SOCK_RAW, 12}, {"raw", AF_INET, SOCK_RAW, IPPROTO_ICMP}, {"ping", AF_INET, SOCK_DGRAM, IPPROTO_ICMP},
    {"tcp", AF_INET, SOCK_STREAM, 0}, {"udp6", AF_INET6, SOCK_DGRAM, 0}, {"unix", AF_UNIX, SOCK_STREAM, 0},
    {"route", AF_NETLINK, SOCK_RAW, 0},
  };
  for (unsigned i = 0; i < sizeof sockets / sizeof *sockets; i++) {
    snprintf(what, sizeof what, "socket %s", sockets[i].name);
    tell(what, socket(sockets[i].family, sockets[i].type, sockets[i].protocol));
  }
  tell("mkdir in the group", mkdir("/sys/fs/cgroup/below", 0755));
  tell("cgroup.procs", open("/sys/fs/cgroup/cgroup.procs", O_WRONLY));
  tell("more files", setrlimit(RLIMIT_NOFILE, &(struct rlimit){65536, 65536}));
  static const char *const secrets[] = {"cmdline", "kallsyms", "kcore", "keys", "modules", "iomem", "timer_list", "interrupts", "sysrq-trigger", "slabinfo"};
  for (unsigned i = 0; i < sizeof secrets / sizeof *secrets; i++) {
    char text[16];
    snprintf(what, sizeof what, "/proc/%s", secrets[i]);
    int file = open(what, O_RDONLY);
    if (file < 0) tell(what, file);
    else printf("%s: %zd bytes\n", what, read(file, text, sizeof text));
  }
  printf("fork: %s\n", fork() == 0 ? (_exit(0), "") : wait(NULL) > 0 ? "done" : "failed");
}

static long size;

static long descriptors(void) {
  long n = 0;
  while (n < size && eventfd(0, 0) >= 0) n++;
  return n;
}

// Each a page, with a page that may not be touched on either side: they cannot be merged.
static long regions(void) {
  char *all = mmap(NULL, size * 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) return 0;
  long n = 0;
  for (; n < size && mprotect(all + n * 8192, 4096, PROT_READ | PROT_WRITE) == 0; n++) all[n * 8192] = 1;
  return n;
}

// A page in each 2 MB, and with it a page of page table.
static long sparse(void) {
  long n = 0;
  for (; n < size; n++) {
    char *at = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) break;
    madvise(at, 4 << 20, MADV_NOHUGEPAGE);
    at[0] = at[2 << 20] = 1;
  }
  return n;
}

static long timers(void) {
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  struct itimerspec far = {.it_value = {.tv_sec = 100000}};
  timer_t timer;
  long n = 0;
  for (; n < size && timer_create(CLOCK_MONOTONIC, &none, &timer) == 0; n++) timer_settime(timer, 0, &far, NULL);
  return n;
}

static long locks(void) {
  int file = open("/tmp/locked", O_RDWR | O_CREAT, 0600);
  long n = 0;
  for (; n < size; n++) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = n * 2, .l_len = 1};
    if (fcntl(file, F_SETLK, &lock) < 0) break;
  }
  return n;
}

static long watches(void) {
  int inotify = inotify_init();
  char name[64];
  mkdir("/tmp/watched", 0700);
  long n = 0;
  for (; n < size; n++) {
    snprintf(name, sizeof name, "/tmp/watched/%ld", n);
    close(open(name, O_CREAT | O_RDWR, 0600));
    if (inotify_add_watch(inotify, name, IN_ALL_EVENTS) < 0) break;
  }
  return n;
}

static long epolls(void) {
  int watched[500];
  for (int i = 0; i < 500; i++) watched[i] = eventfd(0, 0);
  long n = 0;
  for (;;) {
    int epoll = epoll_create1(0);
    if (epoll < 0) return n;
    for (int i = 0; i < 500; i++, n++) {
      struct epoll_event event = {.events = EPOLLIN};
      if (n == size || epoll_ctl(epoll, EPOLL_CTL_ADD, watched[i], &event) < 0) return n;
    }
  }
}

static int pass(int over, const int *files) {
  char control[CMSG_SPACE(2 * sizeof(int))] = {0};
  struct iovec byte = {.iov_base = "x", .iov_len = 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(2 * sizeof(int));
  memcpy(CMSG_DATA(header), files, 2 * sizeof(int));
  return sendmsg(over, &message, MSG_DONTWAIT) == 1 ? 0 : -1;
}

// Sockets that hold sockets that hold sockets, of which no process has a descriptor but of the last.
static long passed(void) {
  int held[2], next[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, held) < 0) return 0;
  long n = 0;
  for (; n < size && socketpair(AF_UNIX, SOCK_DGRAM, 0, next) == 0 && pass(next[0], held) == 0; n++) {
    close(held[0]);
    close(held[1]);
    memcpy(held, next, sizeof held);
  }
  return n;
}

static long segments(void) {
  long n = 0;
  for (; n < size; n++) {
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    char *at = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
    if (at == (char *)-1) break;
    *at = 1;
  }
  return n;
}

static long messages(void) {
  struct { long type; char text[1]; } message = {1, {0}};
  long n = 0;
  for (int queue; n < size && (queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600)) >= 0;)
    while (n < size && msgsnd(queue, &message, 1, IPC_NOWAIT) == 0) n++;
  return n;
}

static long undos(void) {
  struct sembuf up = {.sem_num = 0, .sem_op = 1, .sem_flg = SEM_UNDO};
  long n = 0;
  for (int set; n < size && (set = semget(IPC_PRIVATE, 100, IPC_CREAT | 0600)) >= 0 && semop(set, &up, 1) == 0;) n++;
  return n;
}

static long files(void) {
  char name[64];
  long n = 0;
  for (; n < size; n++) {
    snprintf(name, sizeof name, "/dev/shm/%d.%ld", getpid(), n);
    int file = open(name, O_CREAT | O_RDWR, 0600);
    if (file < 0) break;
    close(file);
  }
  return n;
}

static long pipes(void) {
  char page[4096] = {0};
  int ends[2];
  long n = 0;
  while (n < size && pipe2(ends, O_NONBLOCK) == 0)
    while (write(ends[1], page, sizeof page) > 0) n++;
  return n;
}

static long signals(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  long n = 0;
  while (n < size && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0) n++;
  return n;
}

// Each waits in the kernel for the child that it lent its memory to.
static long lenders(void) {
  for (long n = 0; n < size; n++)
    if (vfork() != 0) _exit(0);
  return size;
}

// Processes each the child of the one before, and sharing what all before it had mapped: what is dearest of all.
static long chain(void) {
  long generations = size;
  size = 20;
  regions();
  for (long n = 1; n < generations; n++) {
    if (fork() != 0)
      for (;;) pause();
    regions();
  }
  return generations;
}

static const struct { const char *name; long (*make)(void); } kinds[] = {
  {"descriptors", descriptors}, {"regions", regions}, {"sparse", sparse}, {"timers", timers}, {"locks", locks},
  {"watches", watches}, {"epolls", epolls}, {"passed", passed}, {"segments", segments}, {"messages", messages},
  {"undos", undos}, {"files", files}, {"pipes", pipes}, {"signals", signals}, {"lenders", lenders}, {"chain", chain},
};

static void dear(const char *kind, long processes, int users) {
  int told[2];
  long made = 0;
  if (pipe(told) < 0) exit(1);
  for (unsigned at = 0; at < sizeof kinds / sizeof *kinds; at++)
    for (long started = 0; strcmp(kinds[at].name, kind) == 0 && started < processes; started++) {
      long n = 0;
      pid_t child = fork();
      if (child < 0) break;
      if (child == 0) {
        if (users && (setgid(2000 + started) < 0 || setuid(2000 + started) < 0)) _exit(1);
        n = kinds[at].make();
        if (write(told[1], &n, sizeof n) < 0) _exit(1);
        for (;;) pause();
      }
      if (read(told[0], &n, sizeof n) == sizeof n) made += n;
    }
  printf("ready %s %ld\n", kind, made);
  fflush(stdout);
  for (;;) pause();
}

int main(int count, char **arguments) {
  if (count == 2 && strcmp(arguments[1], "refused") == 0) refused();
  else if (count == 6 && strcmp(arguments[1], "dear") == 0) {
    size = atol(arguments[4]);
    dear(arguments[2], atol(arguments[3]), atol(arguments[5]));
  } else return 2;
  return 0;
}
