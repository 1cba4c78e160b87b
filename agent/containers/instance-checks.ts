// The checks of one run of a container: from the board to its own address, and by commands in it.
import type { ContainerConfiguration } from '../../protocol/api/instances.ts';
import { startChecking, type Checking, type CheckingOptions } from '../checks/checking.ts';
import { addressOf, type Attachment } from './network.ts';
import type { Bundle } from './oci/bundle.ts';
import { execInContainer } from './oci/crun-exec.ts';

export interface InstanceChecksOptions extends Pick<CheckingOptions, 'adopted' | 'paces' | 'changed' | 'restart'> {
  configuration: ContainerConfiguration;
  attachment: Attachment;
  bundle: Bundle;
  stateDir: string;
}

/** Undefined where there is nothing to check. */
export function startInstanceChecks(options: InstanceChecksOptions): Checking | undefined {
  const { configuration, attachment, bundle, stateDir, ...rest } = options;
  const { checks } = configuration;
  if (checks === undefined) return undefined;
  return startChecking({
    ...rest,
    checks,
    customer: attachment.customer,
    instance: {
      address: addressOf(attachment),
      exec: (command, given) => execInContainer(bundle, { stateDir, command, ...given }),
    },
  });
}
