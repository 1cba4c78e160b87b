// What a drill puts on nodes: which image, on which of them, and what became of it there.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { DrillRequest } from '../../protocol/api/drills.ts';
import type { WorkloadSpec } from '../../protocol/api/workloads.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { DrillDocument } from '../../inventory/store/documents.ts';
import { canaryName } from '../../inventory/drills/drills.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { RefusedError } from '../api/serving/http.ts';
import type { ImageStore } from '../images/image-store.ts';
import { drawNodes, type CanaryNode } from './verdict.ts';

/** Muster's own sample goes by this name once a drill has imported it. */
export const canaryImage = 'muster/canary';
/** What the sample needs, and little enough for a board that is nearly full. */
const canaryLimits = { memoryBytes: 32 * 2 ** 20, cpu: 0.5, processes: 16 };

export interface CanaryOptions {
  inventory: Inventory;
  images: ImageStore;
  /** An OCI archive: what the canary runs where no image is named. */
  samplePath: string;
  random: (bytes: number) => Buffer;
}

export class Canary {
  readonly #options: CanaryOptions;
  #importing: Promise<unknown> | undefined;

  constructor(options: CanaryOptions) {
    this.#options = options;
  }

  /** Throws RefusedError. */
  async planned({ customer = canaryName, share = 1, image }: DrillRequest): Promise<{
    customer: string;
    spec: WorkloadSpec;
    nodes: Mac[];
  }> {
    const { inventory, random } = this.#options;
    const refusal = inventory.drills.refusal(customer);
    if (refusal !== undefined) throw new RefusedError(409, refusal);
    const spec: WorkloadSpec =
      image === undefined ? { image: await this.#ownImage(), replicas: 1, ...canaryLimits } : { image, replicas: 1 };
    const ready = inventory.nodes.all().flatMap(({ mac, state, fenced }) => (state === 'ready' && !fenced ? mac : []));
    return { customer, spec, nodes: drawNodes(ready, { share, random }) };
  }

  async #ownImage(): Promise<string> {
    const { inventory, images, samplePath } = this.#options;
    if (inventory.images.get(canaryImage) !== undefined) return canaryImage;
    if ((await stat(samplePath).catch(() => undefined)) === undefined)
      throw new RefusedError(
        409,
        `there is nothing for a canary to run: want an image by name, or Muster's own sample at ${samplePath}, which npm start builds`,
      );
    // Whoever asks meanwhile waits for the same one.
    this.#importing ??= images
      .receive(createReadStream(samplePath), { name: canaryImage, by: 'drill' })
      .finally(() => (this.#importing = undefined));
    await this.#importing;
    return canaryImage;
  }

  on({ customer, nodes }: DrillDocument): CanaryNode[] {
    const { inventory } = this.#options;
    const instances = new Map(inventory.instances.of(customer, canaryName).map((each) => [each.node, each]));
    return nodes.map((mac) => {
      const node = inventory.nodes.get(mac);
      return {
        mac,
        name: node?.name ?? mac,
        state: node?.state,
        fenced: node?.fenced ?? false,
        instance: instances.get(mac),
      };
    });
  }

  /** Resolves when no import is under way any more. */
  async idle(): Promise<void> {
    await this.#importing?.catch(() => undefined);
  }
}
