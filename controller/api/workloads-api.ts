// What customers want to run, what of it runs, and what it printed.
import { instanceRoutes } from '../../protocol/api/instances.ts';
import { logRoutes } from '../../protocol/api/logs.ts';
import { workloadRoutes } from '../../protocol/api/workloads.ts';
import { filledUpdate } from '../../protocol/workload/update.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { WorkloadDocument } from '../../inventory/store/documents.ts';
import { imageRefusal, ownCustomer, type Asking } from './serving/access.ts';
import { orRefuse, RefusedError, served, shown, type Server } from './serving/http.ts';
import { pageOf } from './serving/pages.ts';
import { etagOf, requireVersion, keyedMutex, type KeyedMutex } from './serving/versions.ts';
import { changedView, historyView, instanceView, workloadView } from './views.ts';

export function registerWorkloadsApi(app: Server, inventory: Inventory): void {
  const exclusively = keyedMutex();
  app.route({
    ...served(workloadRoutes.listWorkloads),
    handler: async ({ query, asking }) => {
      const own = ownCustomer(asking);
      const all = inventory.workloads.all();
      const wanted = own === undefined ? all : all.filter(({ customer }) => customer === own);
      const view = (workload: WorkloadName) => workloadView(inventory, workload);
      const { items, rest } = await pageOf(wanted, { query, key: nameOf, view });
      return { workloads: items, ...rest };
    },
  });
  app.route({
    ...served(workloadRoutes.getWorkload),
    handler: async ({ params: { customer, name } }, reply) => {
      const etag = knownWorkload(inventory, { customer, name });
      return reply.header('etag', etag).send(shown(workloadView(inventory, { customer, name })));
    },
  });
  app.route({
    ...served(workloadRoutes.getWorkloadSpec),
    handler: async ({ params: { customer, name } }, reply) => {
      const etag = knownWorkload(inventory, { customer, name });
      const known = shown(inventory.workloads.get(customer, name));
      // Values may be secrets: they must not stay in a cache.
      return reply.headers({ etag, 'cache-control': 'no-store' }).send(known.spec);
    },
  });
  app.route({
    ...served(workloadRoutes.putWorkload),
    handler: (request, reply) => {
      const { params, body: spec, operator: by, query } = request;
      requireImage(inventory, { asking: request.asking, image: spec.image });
      return exclusively(nameOf(params), async () => {
        requireVersion(request, { name: nameOf(params), etag: versionOf(inventory, params) });
        const asked = { by, dryRun: query.dryRun !== undefined };
        const changed = orRefuse(await inventory.workloads.put({ ...params, spec }, asked));
        return reply.header('etag', tagOf(changed.workload)).send(changedView(inventory, changed));
      });
    },
  });
  app.route({
    ...served(workloadRoutes.changeWorkload),
    handler: (request, reply) => {
      const { params, body: patch, operator: by, query } = request;
      requireImage(inventory, { asking: request.asking, image: patch.image });
      return exclusively(nameOf(params), async () => {
        requireVersion(request, { name: nameOf(params), etag: knownWorkload(inventory, params) });
        const asked = { by, dryRun: query.dryRun !== undefined };
        const changed = orRefuse(await inventory.workloads.patch({ ...params, patch }, asked));
        return reply.header('etag', tagOf(changed.workload)).send(changedView(inventory, changed));
      });
    },
  });
  app.route({
    ...served(workloadRoutes.removeWorkload),
    handler: (request) => {
      const { customer, name } = request.params;
      return exclusively(nameOf({ customer, name }), async () => {
        requireVersion(request, {
          name: nameOf({ customer, name }),
          etag: knownWorkload(inventory, { customer, name }),
        });
        orRefuse(await inventory.workloads.remove({ customer, name }, request.operator));
        return {};
      });
    },
  });
  registerHistory(app, { inventory, exclusively });
  registerLogs(app, inventory);
  registerInstances(app, inventory);
}

function requireImage(inventory: Inventory, { asking, image }: { asking: Asking; image: string | undefined }): void {
  const customers = inventory.customers.all().map(({ name }) => name);
  const refusal = image === undefined ? undefined : imageRefusal(asking, { image, customers });
  if (refusal !== undefined) throw new RefusedError(403, refusal);
}

interface WorkloadName {
  customer: string;
  name: string;
}

function nameOf({ customer, name }: WorkloadName): string {
  return `${customer}/${name}`;
}

function versionOf(inventory: Inventory, { customer, name }: WorkloadName): string | undefined {
  const workload = inventory.workloads.get(customer, name);
  return workload === undefined ? undefined : tagOf(workload);
}

function tagOf({ customer, name, specRevision, createdAt, spec }: WorkloadDocument): string {
  // Another number of replicas is no other revision: nothing is replaced for it. The values of an environment are in no tag.
  const rolls = Object.values(filledUpdate(spec));
  return etagOf(customer, name, specRevision, createdAt, spec.replicas, spec.stopped === true, ...rolls);
}

/** Its version. */
function knownWorkload(inventory: Inventory, { customer, name }: WorkloadName): string {
  const etag = versionOf(inventory, { customer, name });
  if (etag === undefined) throw new RefusedError(404, `there is no workload ${customer}/${name}`);
  return etag;
}

function registerInstances(app: Server, inventory: Inventory): void {
  app.route({
    ...served(instanceRoutes.listInstances),
    handler: async ({ query, asking }) => {
      const customer = ownCustomer(asking) ?? query.customer;
      const wanted = customer === undefined ? inventory.instances.all() : inventory.instances.of(customer);
      const view = ({ id }: { id: string }) => instanceView(inventory, id);
      const { items, rest } = await pageOf(wanted, { query, key: ({ id }) => id, view });
      return { instances: items, ...rest };
    },
  });
}

function registerHistory(
  app: Server,
  { inventory, exclusively }: { inventory: Inventory; exclusively: KeyedMutex },
): void {
  app.route({
    ...served(workloadRoutes.getWorkloadHistory),
    handler: async ({ params }) => {
      knownWorkload(inventory, params);
      return { revisions: historyView(inventory, params) };
    },
  });
  app.route({
    ...served(workloadRoutes.rollBackWorkload),
    handler: (request, reply) => {
      const { params, body, operator: by } = request;
      return exclusively(nameOf(params), async () => {
        requireVersion(request, { name: nameOf(params), etag: knownWorkload(inventory, params) });
        const changed = orRefuse(await inventory.workloads.rollBack({ ...params, to: body.to }, by));
        return reply.header('etag', tagOf(changed.workload)).send(changedView(inventory, changed));
      });
    },
  });
  app.route({
    ...served(workloadRoutes.restartWorkload),
    handler: (request, reply) => {
      const { params, operator: by } = request;
      return exclusively(nameOf(params), async () => {
        requireVersion(request, { name: nameOf(params), etag: knownWorkload(inventory, params) });
        const changed = orRefuse(await inventory.workloads.restart(params, by));
        return reply.header('etag', tagOf(changed.workload)).send(changedView(inventory, changed));
      });
    },
  });
}

function registerLogs(app: Server, inventory: Inventory): void {
  app.route({
    ...served(logRoutes.getLogs),
    handler: async (request) => {
      knownWorkload(inventory, request.params);
      const { customer, name } = request.params;
      const { instance, before, after, since } = request.query;
      const tail = Math.min(10_000, Number(request.query.tail ?? 100));
      const page = await inventory.logs.list({
        customer,
        workload: name,
        tail,
        ...(instance === undefined ? {} : { instance }),
        ...(before === undefined ? {} : { before: Number(before) }),
        ...(after === undefined ? {} : { after: Number(after) }),
        ...(since === undefined ? {} : { since: Number(since) }),
      });
      // One that is gone has left its lines; one that never was has none.
      if (instance !== undefined && before === undefined && after === undefined && page.lines.length === 0) {
        const known = inventory.instances.get(instance);
        if (known?.customer !== customer || known.workload !== name)
          throw new RefusedError(404, `there is no instance ${instance} of ${customer}/${name}, nor a line of it`);
      }
      return page;
    },
  });
}
