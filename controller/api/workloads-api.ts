// What customers want to run, what of it runs, and what it printed.
import { Type } from 'typebox';
import { Instance } from '../../protocol/api/instances.ts';
import { LogPage } from '../../protocol/api/logs.ts';
import { Workload, WorkloadSpec } from '../../protocol/api/workloads.ts';
import { customerPattern, workloadPattern } from '../../protocol/names.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { orRefuse, RefusedError, shown, type Server } from './http.ts';
import { instanceView, workloadView } from './views.ts';

const digits = Type.Optional(Type.String({ pattern: '^[0-9]{1,9}$' }));
const WorkloadParams = Type.Object({
  customer: Type.String({ pattern: customerPattern }),
  name: Type.String({ pattern: workloadPattern }),
});

export function registerWorkloadsApi(app: Server, inventory: Inventory): void {
  app.get('/v1/workloads', { schema: { response: { 200: Type.Object({ workloads: Type.Array(Workload) }) } } }, () =>
    Promise.resolve({
      workloads: inventory.workloads
        .all()
        .flatMap(({ customer, name }) => workloadView(inventory, customer, name) ?? []),
    }),
  );
  app.get(
    '/v1/workloads/:customer/:name',
    { schema: { params: WorkloadParams, response: { 200: Workload } } },
    (request) => {
      knownWorkload(inventory, request.params);
      return Promise.resolve(shown(workloadView(inventory, request.params.customer, request.params.name)));
    },
  );
  app.put(
    '/v1/workloads/:customer/:name',
    { schema: { params: WorkloadParams, body: WorkloadSpec, response: { 200: Workload } } },
    async (request) => {
      const { customer, name } = request.params;
      orRefuse(await inventory.workloads.put({ customer, name, spec: request.body }, request.operator));
      return shown(workloadView(inventory, customer, name));
    },
  );
  app.delete('/v1/workloads/:customer/:name', { schema: { params: WorkloadParams } }, async (request) => {
    knownWorkload(inventory, request.params);
    orRefuse(
      await inventory.workloads.remove(
        { customer: request.params.customer, name: request.params.name },
        request.operator,
      ),
    );
    return {};
  });
  registerLogs(app, inventory);
  app.get(
    '/v1/instances',
    {
      schema: {
        querystring: Type.Object({ customer: Type.Optional(Type.String({ pattern: customerPattern })) }),
        response: { 200: Type.Object({ instances: Type.Array(Instance) }) },
      },
    },
    (request) => {
      const { customer } = request.query;
      const wanted = inventory.instances.all().filter((each) => customer === undefined || each.customer === customer);
      return Promise.resolve({ instances: wanted.flatMap(({ id }) => instanceView(inventory, id) ?? []) });
    },
  );
}

function knownWorkload(inventory: Inventory, { customer, name }: { customer: string; name: string }): void {
  if (inventory.workloads.get(customer, name) === undefined)
    throw new RefusedError(404, `there is no workload ${customer}/${name}`);
}

function registerLogs(app: Server, inventory: Inventory): void {
  app.get(
    '/v1/workloads/:customer/:name/logs',
    {
      schema: {
        params: WorkloadParams,
        querystring: Type.Object({
          tail: digits,
          instance: Type.Optional(Type.String({ maxLength: 64 })),
          before: Type.Optional(Type.String({ pattern: '^[0-9]{1,15}$' })),
        }),
        response: { 200: LogPage },
      },
    },
    async (request) => {
      knownWorkload(inventory, request.params);
      const { customer, name } = request.params;
      const { instance, before } = request.query;
      const tail = Math.min(10_000, Number(request.query.tail ?? 100));
      return inventory.logs.list({
        customer,
        workload: name,
        tail,
        ...(instance === undefined ? {} : { instance }),
        ...(before === undefined ? {} : { before: Number(before) }),
      });
    },
  );
}
