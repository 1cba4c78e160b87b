// Whom a container runs as: `user` or `user:group`, each a name or a number, by the image's own /etc/passwd and /etc/group, as
// image-spec's config.md (`User`) and docker have it. Pure: the controller refuses what cannot be resolved when an image is
// imported, and the board resolves it when a container starts.

/** Of an image's /etc/passwd, and of its /etc/group. */
export const accountsLimitBytes = 1 << 20;
/** Characters of `user:group`. */
export const userLimit = 256;
/** The kernel takes 65,536; nobody is in more than this. */
const groupsLimit = 256;
// Each customer has 65,536 user ids; a larger one could not be mapped on a node.
const idLimit = 65_535;

export interface Accounts {
  /** Content of the image's /etc/passwd and /etc/group, '' where it has none. */
  passwd: string;
  group: string;
}

export interface ContainerUser {
  uid: number;
  gid: number;
  /** Supplementary groups: those that /etc/group lists the user in; none where a group is named beside the user. */
  groups: number[];
}

/**
 * No user is user 0. A user without a group gets its own from /etc/passwd, and the groups that /etc/group lists it in; a bare
 * number that is not there gets group 0. Throws what cannot be found, or is no id that a customer has.
 */
export function resolveUser(user: string, { passwd, group }: Accounts): ContainerUser {
  const [userPart = '', groupPart = ''] = user.split(':', 2);
  const refuse = (why: string): Error => new Error(`cannot resolve User ${JSON.stringify(user)} of the image: ${why}`);
  const id = (digits: string | undefined): number => {
    if (digits === undefined || !/^[0-9]{1,10}$/.test(digits) || Number(digits) > idLimit) {
      throw refuse(`id ${JSON.stringify(digits ?? '')}, want 0 to ${idLimit}`);
    }
    return Number(digits);
  };
  const wanted = userPart === '' ? '0' : userPart;
  const isNumber = /^[0-9]+$/.test(wanted);
  const account = lines(passwd).find((fields) => (isNumber ? fields[2] === wanted : fields[0] === wanted));
  if (account === undefined && !isNumber)
    throw refuse(`${JSON.stringify(wanted)} is not in its /etc/passwd, want one that is, or a number`);
  const uid = id(isNumber ? wanted : account?.[2]);
  if (groupPart === '') {
    const gid = account === undefined ? 0 : id(account[3]);
    return { uid, gid, groups: groupsOf(account?.[0] ?? '', group).filter((other) => other !== gid) };
  }
  if (/^[0-9]+$/.test(groupPart)) return { uid, gid: id(groupPart), groups: [] };
  const entry = lines(group).find((fields) => fields[0] === groupPart);
  if (entry === undefined)
    throw refuse(`${JSON.stringify(groupPart)} is not in its /etc/group, want one that is, or a number`);
  return { uid, gid: id(entry[2]), groups: [] };
}

/** Ascending, each once. A group that no container can have is passed over: it was not asked for by name. */
function groupsOf(name: string, group: string): number[] {
  if (name === '') return [];
  const found = new Set<number>();
  for (const [, , id = '', members = ''] of lines(group)) {
    if (!members.split(',').includes(name) || !/^[0-9]{1,10}$/.test(id)) continue;
    if (Number(id) <= idLimit) found.add(Number(id));
    if (found.size >= groupsLimit) break;
  }
  return [...found].toSorted((a, b) => a - b);
}

function lines(text: string): string[][] {
  return text.split('\n').map((line) => line.trimEnd().split(':'));
}
