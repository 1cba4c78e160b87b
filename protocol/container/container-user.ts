// Whom a container runs as: `user` or `user:group`, each a name or a number, by the image's own /etc/passwd and /etc/group, as
// image-spec's config.md (`User`) and docker have it. Pure: the controller refuses what cannot be resolved when an image is
// imported, and the board resolves it when a container starts.

/** Of an image's /etc/passwd, and of its /etc/group: boards read them on the thread that asks for permits. */
export const accountsLimitBytes = 1 << 17;
/** Characters of `user:group`. */
export const userLimit = 256;
/** More than any account of a real image has, and few for the kernel to look through. */
const groupsLimit = 1_024;
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
 * No user is user 0. A user without a group gets its own from /etc/passwd, a bare number that is not there gets group 0.
 * Throws what cannot be found, or is no id that a customer has.
 */
export function resolveUser(user: string, { passwd, group }: Accounts): ContainerUser {
  const [userPart = '', groupPart = ''] = user.split(':', 2);
  const refuse = (why: string): Error => new Error(`cannot resolve user ${JSON.stringify(user)} of the image: ${why}`);
  const id = (digits: string | undefined): number => {
    if (digits === undefined || !isId(digits)) throw refuse(`id ${JSON.stringify(digits ?? '')}, want 0 to ${idLimit}`);
    return Number(digits);
  };
  const wanted = userPart === '' ? '0' : userPart;
  const isNumber = /^[0-9]+$/.test(wanted);
  const account = lines(passwd).find((fields) => (isNumber ? fields[2] === wanted : fields[0] === wanted));
  if (account === undefined && !isNumber) throw refuse(`${JSON.stringify(wanted)} is not in its /etc/passwd`);
  const uid = id(isNumber ? wanted : account?.[2]);
  if (groupPart === '') {
    const gid = account === undefined ? 0 : id(account[3]);
    const name = account?.[0];
    const listed = lines(group).filter(([, , , members = '']) => name && members.split(',').includes(name));
    // One that no container can have was not asked for by name: it is passed over.
    const ids = listed.map((fields) => fields[2] ?? '').filter((digits) => isId(digits));
    const groups = [...new Set(ids.map(Number))].filter((other) => other !== gid);
    if (groups.length > groupsLimit)
      throw refuse(`its /etc/group lists it in ${groups.length} groups, want at most ${groupsLimit}`);
    return { uid, gid, groups };
  }
  if (/^[0-9]+$/.test(groupPart)) return { uid, gid: id(groupPart), groups: [] };
  const entry = lines(group).find((fields) => fields[0] === groupPart);
  if (entry === undefined) throw refuse(`${JSON.stringify(groupPart)} is not in its /etc/group`);
  return { uid, gid: id(entry[2]), groups: [] };
}

function isId(digits: string): boolean {
  return /^[0-9]{1,10}$/.test(digits) && Number(digits) <= idLimit;
}

function lines(text: string): string[][] {
  return text.split('\n').map((line) => line.trimEnd().split(':'));
}
