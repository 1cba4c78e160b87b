/**
 * The seccomp profile for containers: the default of Debian's container tools, which is written for any architecture and
 * any set of capabilities, narrowed to the one form that crun takes (the OCI runtime specification's `linux.seccomp`), and to what a customer here
 * has a use for (`seccomp-denied.ts`).
 */
import { Type, type Static } from 'typebox';
import { Parse } from 'typebox/value';
import { deniedCalls, errno, namespaceFlags, netlink, netlinkRoute, socketFamilies } from './seccomp-denied.ts';

const Filter = Type.Object({
  arches: Type.Optional(Type.Array(Type.String())),
  caps: Type.Optional(Type.Array(Type.String())),
  minKernel: Type.Optional(Type.String()),
});

const Argument = Type.Object({
  index: Type.Integer(),
  value: Type.Number(),
  valueTwo: Type.Optional(Type.Number()),
  op: Type.String(),
});

const Profile = Type.Object({
  defaultAction: Type.String(),
  defaultErrnoRet: Type.Optional(Type.Integer()),
  archMap: Type.Array(
    Type.Object({
      architecture: Type.String(),
      subArchitectures: Type.Union([Type.Array(Type.String()), Type.Null()]),
    }),
  ),
  syscalls: Type.Array(
    Type.Object({
      names: Type.Array(Type.String()),
      action: Type.String(),
      args: Type.Optional(Type.Union([Type.Array(Argument), Type.Null()])),
      includes: Type.Optional(Filter),
      excludes: Type.Optional(Filter),
      errnoRet: Type.Optional(Type.Integer()),
    }),
  ),
});

/** containers-common's seccomp.json, parsed. */
export type ContainersProfile = Static<typeof Profile>;

export function parseContainersProfile(text: string): ContainersProfile {
  return Parse(Profile, JSON.parse(text));
}

/** The OCI runtime specification's `linux.seccomp`. */
export interface OciSeccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures: string[];
  syscalls: { names: string[]; action: string; errnoRet?: number; args?: OciArgument[] }[];
}

interface OciArgument {
  index: number;
  value: number;
  valueTwo?: number;
  op: string;
}

const architectures: Record<string, string> = { arm64: 'SCMP_ARCH_AARCH64', amd64: 'SCMP_ARCH_X86_64' };

/**
 * @param options.arch Debian's (and Go's) name of the architecture: `arm64` or `amd64`
 * @param options.caps the capabilities that the container will hold, such as `CAP_SYS_ADMIN`
 */
export function seccompFor(profile: ContainersProfile, options: { arch: string; caps: readonly string[] }): OciSeccomp {
  const { arch, caps } = options;
  const native = profile.archMap.find(({ architecture }) => architecture === architectures[arch]);
  if (native === undefined) {
    throw new Error(`cannot make a seccomp profile for ${arch}: want one of ${Object.keys(architectures).join(', ')}`);
  }
  const applies = (rule: ContainersProfile['syscalls'][number]): boolean => {
    const { includes = {}, excludes = {} } = rule;
    // All of the included capabilities must be held; one excluded capability is enough to drop the rule.
    if (includes.arches !== undefined && includes.arches.length > 0 && !includes.arches.includes(arch)) return false;
    if (includes.caps !== undefined && !includes.caps.every((cap) => caps.includes(cap))) return false;
    if (excludes.arches?.includes(arch) === true) return false;
    return excludes.caps === undefined || !excludes.caps.some((cap) => caps.includes(cap));
  };
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: [native.architecture, ...(native.subArchitectures ?? [])],
    syscalls: [
      ...profile.syscalls
        .filter(applies)
        .map(({ names, action, errnoRet, args }) => ({
          names: names.filter((name) => !decidedHere.has(name)),
          action,
          ...(errnoRet === undefined ? {} : { errnoRet }),
          ...(args === undefined || args === null || args.length === 0 ? {} : { args: args.map(argument) }),
        }))
        .filter(({ names }) => names.length > 0),
      ...ourRules(profile.defaultAction),
    ],
  };
}

const decidedHere = new Set([...deniedCalls, 'clone', 'clone3', 'socket']);

/** A call that no rule of its name matches is refused as the profile's default says: with ENOSYS. */
function ourRules(refuse: string): OciSeccomp['syscalls'] {
  const allow = 'SCMP_ACT_ALLOW';
  const isNetlink = equal(0, netlink);
  return [
    { names: [...deniedCalls], action: refuse, errnoRet: errno.EPERM },
    // A masked comparison's value is the mask; it is compared with valueTwo, 0 where there is none.
    { names: ['clone'], action: allow, args: [{ index: 0, value: namespaceFlags, op: 'SCMP_CMP_MASKED_EQ' }] },
    // Its flags are in memory, out of the filter's sight. C libraries fall back to clone.
    { names: ['clone3'], action: refuse, errnoRet: errno.ENOSYS },
    ...Object.values(socketFamilies).map((family) => ({ names: ['socket'], action: allow, args: [equal(0, family)] })),
    { names: ['socket'], action: allow, args: [isNetlink, equal(2, netlinkRoute)] },
    {
      names: ['socket'],
      action: refuse,
      errnoRet: errno.EPROTONOSUPPORT,
      args: [isNetlink, { index: 2, value: netlinkRoute, op: 'SCMP_CMP_NE' }],
    },
    {
      names: ['socket'],
      action: refuse,
      errnoRet: errno.EAFNOSUPPORT,
      args: [{ index: 0, value: netlink, op: 'SCMP_CMP_GT' }],
    },
  ];
}

function equal(index: number, value: number): OciArgument {
  return { index, value, op: 'SCMP_CMP_EQ' };
}

function argument({ index, value, valueTwo, op }: Static<typeof Argument>): OciArgument {
  return { index, value, ...(valueTwo === undefined || valueTwo === 0 ? {} : { valueTwo }), op };
}
