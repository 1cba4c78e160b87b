// Drills over HTTP. Register it after the operators' API, whose check of the token then holds for these routes too.
import { drillRoutes } from '../../protocol/api/drills.ts';
import { drillView } from './drill-views.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { DrillRunner } from '../drill/drill.ts';
import { orRefuse, RefusedError, served, shown, type Server } from './serving/http.ts';
import { pageOf } from './serving/pages.ts';

export function registerDrillApi(
  app: Server,
  { inventory, drills }: { inventory: Inventory; drills: DrillRunner },
): void {
  app.route({
    ...served(drillRoutes.startDrill),

    handler: async (request, reply) => {
      const { number } = await drills.start(request.body, request.operator);
      return reply.status(202).send(shown(drillView(inventory, number)));
    },
  });
  app.route({
    ...served(drillRoutes.listDrills),

    handler: async ({ query }) => {
      const newestFirst = ({ number }: { number: number }) => -number;
      const view = ({ number }: { number: number }) => drillView(inventory, number);
      const { items, rest } = await pageOf(inventory.drills.all(), { query, key: newestFirst, view });
      return { drills: items, schedule: inventory.drills.schedule() ?? null, ...rest };
    },
  });
  app.route({
    ...served(drillRoutes.getDrill),

    handler: (request) => {
      const { number } = request.params;
      const drill = drillView(inventory, Number(number));
      if (drill === undefined) throw new RefusedError(404, `there is no drill ${number}`);
      return Promise.resolve(drill);
    },
  });
  app.route({
    ...served(drillRoutes.putDrillSchedule),

    handler: async (request) => {
      const { image } = request.body.request;
      // A month later nobody would look.
      if (image !== undefined && inventory.images.get(image) === undefined)
        throw new RefusedError(409, `there is no image ${image}: import it first`);
      return inventory.drills.putSchedule(request.body, request.operator);
    },
  });
  app.route({
    ...served(drillRoutes.removeDrillSchedule),

    handler: async (request) => {
      orRefuse(await inventory.drills.removeSchedule(request.operator));
      return {};
    },
  });
}
