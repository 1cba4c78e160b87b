// What runs on the boards in a drill, in busybox sh: customers that say that they run, customers that misbehave, and the
// watcher that looks at a control group. Functions of text, so that what is told of a fault can be read in one place.
import { tickAddress, tickPort } from './ticks.ts';

/** One tick every 20 ms, `<customer> <instance> <label> <count> <uptime>`, without a fork: a pipe that nobody writes to is the clock. */
const beat = `mkfifo /tmp/clock 2>/dev/null; exec 3<>/tmp/clock
beat() { n=0; while read -r up rest </proc/uptime && echo "$MUSTER_CUSTOMER $MUSTER_INSTANCE $1 $n $up"; do n=$((n+1)); read -r -t 0.02 none <&3; done; }
tell() { while :; do beat "$1" | nc ${tickAddress} ${tickPort}; sleep 1; done; }`;

/** A customer as it should be. */
export const orderly = `${beat}
tell main`;

/** Every kind of process that a signal, a parent's death or a new session would spare. */
export const stubborn = `${beat}
trap '' HUP INT QUIT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 PIPE ALRM TERM TSTP TTIN TTOU
tell ignores-signals &
( tell double-forked & ) &
cat >/tmp/session <<'END'
${beat}
trap '' HUP INT QUIT TERM
tell own-session
END
setsid sh /tmp/session &
i=0; while [ $i -lt 5 ]; do sh -c 'kill -STOP $$' & i=$((i+1)); done
tell main`;

/** Busy processes that fork all the time, and never more than they may. */
export const swarm = `${beat}
tell main &
churn() { while :; do (:); done; }
i=0; while [ $i -lt 60 ]; do churn & i=$((i+1)); done
wait`;

/** As many processes as it may have, each of which wants two more. */
export const forkBomb = `${beat}
tell main &
bomb() { while :; do bomb & bomb & done; }
sleep 1
while :; do (bomb) 2>/dev/null; done`;

/** Wants all memory, again and again, and fills what it can write to; the kernel kills the glutton, never the first process. */
export const memoryHog = `${beat}
tell main &
dd if=/dev/zero of=/dev/shm/full bs=1M 2>/dev/null
gorge() { while :; do dd if=/dev/zero of=/dev/null bs=1024M count=1; done 2>/dev/null; }
gorge & gorge`;

/** Next to nothing. */
export const idle = 'while :; do sleep 3600; done';

/** The line that the watcher prints on the board's serial console when a group's state changes, and its parts. */
export const watchLine = /watch: ([a-z0-9_]+) (populated|late) (\d+) (\d+\.\d+)/;

/**
 * Looks at a customer's control group so often and prints each change, with the board's uptime. Runs above everything but
 * the leash, forks nothing, and says so when it was kept from looking for 0.3 s: then the host gave the board no time.
 */
export const watcher = (everySeconds: number): string => `mkdir -p /run/watch
cat >/run/watch/watch.sh <<'END'
mkfifo /run/watch/$1 2>/dev/null; exec 3<>/run/watch/$1
last= before=
while :; do
  populated=0
  while read -r key value; do
    [ "$key" = populated ] && populated=$value
  done </sys/fs/cgroup/customers/$1/cgroup.events
  read -r up rest </proc/uptime
  now=\${up%.*}\${up#*.}
  [ $((now - \${before:-$now})) -lt 30 ] || echo "watch: $1 late $(((now - before) * 10)) $up"
  before=$now
  [ "$populated" = "$last" ] || echo "watch: $1 populated $populated $up"
  last=$populated
  read -r -t ${everySeconds} none <&3
done 2>/dev/null
END`;

export function startWatcher(customer: string): string {
  return `chrt -f 9 choom -n -1000 -- /run/leash/busybox sh /run/watch/watch.sh ${customer} </dev/null >/dev/console 2>&1 &`;
}

/** The nice value of the leash's hand, where it runs. */
export const handsPriority = `for dir in /proc/[0-9]*; do
  case "$(tr '\\0' ' ' <$dir/cmdline 2>/dev/null)" in
    *busybox*leash-hand.sh*) cut -d ' ' -f 19 $dir/stat ;;
  esac
done`;

/** Keeps the agent dead: kills it each time it comes back, until /run/spare is there. */
export const killAgentAgainAndAgain = `rm -f /run/spare
( mkfifo /run/assassin 2>/dev/null; exec 4<>/run/assassin
while [ ! -e /run/spare ]; do
  for dir in /proc/[0-9]*; do
    { read -r comm <$dir/comm; } 2>/dev/null || continue
    [ "$comm" = node ] || [ "$comm" = MainThread ] || continue
    kill -9 \${dir#/proc/} 2>/dev/null
  done
  read -r -t 0.1 none <&4
done ) </dev/null >/dev/null 2>&1 &`;

/** The agent's process number, however its main thread is called. */
export const agentPid = `pidof node || for dir in /proc/[0-9]*; do
  { read -r exe rest <$dir/cmdline; } 2>/dev/null
  case $exe in node*) echo \${dir#/proc/} ;; esac
done`;

/**
 * A process of that instance (its control group and its namespaces, but for the one of user ids) that ticks, and is then caught in the kernel: it
 * writes each tick to a file system on a loop device, too, which is frozen under it.
 */
export function uninterruptible(customer: string): string {
  return `cd /sys/fs/cgroup/customers/${customer} && for group in */; do instance=\${group%/}; break; done
read -r first <$instance/cgroup.procs
modprobe -a loop ext4
dd if=/dev/zero of=/run/stuck.img bs=1M count=2 2>/dev/null && mke2fs -F /run/stuck.img >/dev/null 2>&1
mkdir -p /run/stuck && mount -o loop -t ext2 /run/stuck.img /run/stuck && : >/run/stuck/file
cat >/run/stuck.sh <<'END'
mkfifo /tmp/clock2; exec 3<>/tmp/clock2
n=0
while read -r up rest </proc/uptime && echo "$1 $2 stuck $n $up"; do
  echo $n >&7
  n=$((n+1)); read -r -t 0.02 none <&3
done | nc ${tickAddress} ${tickPort}
END
( echo 0 >/sys/fs/cgroup/customers/${customer}/$instance/cgroup.procs
  exec 7>>/run/stuck/file 8</run/stuck.sh
  exec nsenter -t $first -m -n -p -i -u sh /proc/self/fd/8 ${customer} $instance ) </dev/null >/dev/null 2>&1 &
sleep 1`;
}

/**
 * What containers could once do to themselves: the customer's busy processes in a group of their own that has next to no
 * processor time, so that they hold what writes to control groups wait for, and cannot even die.
 */
export function throttle(customer: string): string {
  return `cd /sys/fs/cgroup/customers/${customer} && for group in extra-*/; do
  echo max >$group/cgroup.max.descendants; mkdir $group/slow
  echo 1 >$group/cgroup.freeze; sleep 1
  while read -r pid; do echo $pid >$group/slow/cgroup.procs; done <$group/cgroup.procs
  echo +cpu >$group/cgroup.subtree_control; echo 1000 1000000 >$group/slow/cpu.max
  echo 0 >$group/cgroup.freeze
done; cat extra-*/slow/cpu.max | sort -u`;
}

export const freezeUnderIt = 'fsfreeze --freeze /run/stuck';

/** How many processes of the customer hang in the kernel. */
export function hangingIn(customer: string): string {
  return `n=0; for group in /sys/fs/cgroup/customers/${customer}/*/; do
  while read -r pid; do
    while read -r key state rest; do
      case $key$state in State:D*) n=$((n+1)) ;; esac
    done </proc/$pid/status
  done <\${group}cgroup.procs
done 2>/dev/null; echo $n`;
}
