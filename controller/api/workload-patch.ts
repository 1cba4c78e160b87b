// A change of a workload that names what changes: the rest stays as it is, also what no answer shows (values of its
// environment).
import { Type } from 'typebox';
import type { Inventory } from '../../inventory/inventory.ts';
import { Workload } from '../../protocol/api/workloads.ts';
import { customerPattern, workloadPattern } from '../../protocol/names.ts';
import { patchedSpec, WorkloadPatch } from '../../protocol/workload-patch.ts';
import { orRefuse, RefusedError, shown, type Server } from './http.ts';
import { workloadView } from './views.ts';

const Params = Type.Object({
  customer: Type.String({ pattern: customerPattern }),
  name: Type.String({ pattern: workloadPattern }),
});

export function registerWorkloadPatch(app: Server, { inventory }: { inventory: Inventory }): void {
  app.patch(
    '/v1/workloads/:customer/:name',
    { schema: { params: Params, body: WorkloadPatch, response: { 200: Workload } } },
    async (request) => {
      const { customer, name } = request.params;
      const known = inventory.workloads.get(customer, name);
      if (known === undefined) throw new RefusedError(404, `there is no workload ${customer}/${name}`);
      const spec = patchedSpec(known.spec, request.body);
      orRefuse(await inventory.workloads.put({ customer, name, spec }, request.operator));
      return shown(workloadView(inventory, customer, name));
    },
  );
}
