// Whom a container runs as, by the files of its image.
import { accountsLimitBytes, resolveUser, type ContainerUser } from '../../../protocol/container/container-user.ts';
import { readInImage } from './image-file.ts';

/** Throws where the image has no such user or group. `uid`, `gid`: where the configuration names no user. */
export function containerUser(
  imageRoot: string,
  { user, uid, gid }: { user?: string; uid?: number; gid?: number },
): ContainerUser {
  const text = (path: string) => readInImage(imageRoot, { path, limitBytes: accountsLimitBytes })?.toString() ?? '';
  return resolveUser(user ?? (uid === undefined ? '' : `${uid}:${gid ?? uid}`), {
    passwd: text('etc/passwd'),
    group: text('etc/group'),
  });
}
