// Stops customers on a board without its agent: by SSH, with the same writes that agent and leash make.
//
// Why the agent, which may be alive, does not undo it. It starts nothing where `cgroup.max.descendants` is 0, and takes
// that back only for a permit that lists the customer, asked for less than 3 s ago: since the order no permit lists it.
// One that was under way before it (a datagram that is late by more than the 1.5 s that we waited) could, but ends with
// the 3 s after its nonce, before which the bound is not over. A start that was under way has made its group already, or
// can make none any more; so groups that are empty are removed, and only a customer without any counts as stopped,
// looked at twice.
import { isCustomerName } from '../../protocol/names.ts';
import { everything } from '../../protocol/roll-call.ts';
import type { NodeShell, ShellTarget } from './node-shell.ts';

const connectMs = 1_500;
/** For the script's own second, and a board whose cores are all taken. */
const answerMs = 4_000;
/** A key exchange, and one line. */
const answerBytes = 65_536;

/** All that the script says: `empty 12`, or `left 12 acme`. */
const verdict = /^(empty|left) (\d{1,9})((?: [a-z0-9_]{1,64}){0,64})$/;
/** And how it ends. */
const codes = { empty: 0, left: 4 };

/**
 * `scopes`: customers' names or `*`. Resolves with the processes and threads that were found, once none is left; throws
 * one sentence where the board cannot be reached or something stays.
 */
export async function stopBySsh(
  shell: NodeShell,
  { node, scopes }: { node: ShellTarget; scopes: readonly string[] },
): Promise<{ processes: number }> {
  const { stdout, stderr, code } = await shell.run(node, {
    command: stopScript(scopes),
    limits: { connectMs, answerMs, answerBytes },
  });
  const [, word, processes = '', left = ''] = verdict.exec(stdout) ?? [];
  if ((word !== 'empty' && word !== 'left') || code !== codes[word])
    throw new Error(`the board could not stop anything: it ended with ${code}, ${stderr.slice(0, 200).trim()}`);
  if (word === 'left') throw new Error(`processes of${left} outlive their kill: they hang in its kernel`);
  return { processes: Number(processes) };
}

/** For a POSIX shell with busybox or coreutils. Throws on what is no customer's name: nothing else reaches a shell. */
export function stopScript(scopes: readonly string[]): string {
  for (const scope of scopes)
    if (scope !== everything && !isCustomerName(scope))
      throw new Error(`cannot stop ${JSON.stringify(scope)}: it is no customer's name`);
  const all = scopes.includes(everything);
  return `
cd /sys/fs/cgroup/customers || exit 3
${
  all
    ? `# Every group that an agent can have made, seen anew in each round.
list() { groups=; for dir in */; do case $dir in *[!a-z0-9_/]*) ;; *) groups="$groups \${dir%/}" ;; esac; done; }`
    : `list() { groups=; for dir in ${[...new Set(scopes)].join(' ')}; do [ -d $dir ] && groups="$groups $dir"; done; }`
}
stop() {
  for group in $groups; do echo 0 >$group/cgroup.max.descendants; echo 1 >$group/cgroup.kill; done
  ${all ? 'echo 1 >cgroup.kill' : ':'}
  for group in $groups; do
    find $group -mindepth 1 -depth -type d -exec rmdir {} +
    # Clears IFF_UP of its bridge, as the agent does; a bridge that is down is left alone.
    read -r flags </sys/class/net/br-$group/flags || continue
    [ $((flags & 1)) = 0 ] || echo 0x1002 >/sys/class/net/br-$group/flags
  done
}
# A group that goes away meanwhile holds nothing.
look() {
  left=
  for group in $groups; do
    full=
    while read -r what value; do [ "$what $value" = 'populated 1' ] && full=1; done <$group/cgroup.events
    for child in $group/*/; do [ -d "$child" ] && full=1; done
    [ -n "$full" ] && left="$left $group"
  done
  ${all ? `while read -r what value; do [ "$what $value" = 'populated 1' ] && [ -z "$left" ] && left=' others'; done <cgroup.events` : ':'}
}
processes=0 seen=0 round=0
{
  list
  for group in $groups; do
    if read -r count <$group/pids.current; then processes=$((processes + count)); continue; fi
    for procs in $group/cgroup.procs $group/*/cgroup.procs; do
      while read -r pid; do processes=$((processes + 1)); done <$procs
    done
  done
  while [ $round -lt 12 ]; do
    round=$((round + 1))
    list
    stop
    look
    if [ -z "$left" ]; then seen=$((seen + 1)); else seen=0; fi
    [ $seen -ge 2 ] && break
    sleep 0.1
  done
} 2>/dev/null
if [ $seen -ge 2 ]; then echo "empty $processes"; else echo "left $processes$left"; exit 4; fi
`;
}
