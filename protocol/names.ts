// Names that end up in control groups, interface names, shell loops of the leash, and URLs: kept narrow on purpose.

/** `br-` and the name must fit the kernel's 15 characters of an interface name; the leash accepts `[a-z0-9_]` only. */
export const customerPattern = '^[a-z][a-z0-9_]{0,11}$';
export const workloadPattern = '^[a-z][a-z0-9-]{0,29}$';
/** `<workload>-<8 hex>`, unique for ever: an instance is never reused. */
export const instancePattern = '^[a-z][a-z0-9-]{0,29}-[0-9a-f]{8}$';
export const imageNamePattern = '^[a-z0-9][a-z0-9._/-]{0,99}(:[A-Za-z0-9._-]{1,60})?$';
export const nodeNamePattern = '^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$';
export const operatorPattern = '^[a-z][a-z0-9-]{0,31}$';
export const sha256Pattern = '^[0-9a-f]{64}$';

const customer = new RegExp(customerPattern);
export function isCustomerName(text: string): boolean {
  return customer.test(text);
}

/** The file of a root file system, by the SHA-256 of its bytes: in the controller's store and in a node's cache. */
export function squashfsName(sha256: string): string {
  return `${sha256}.squashfs`;
}
