// Drills over HTTP. Register it after the operators' API, whose check of the token then holds for these routes too.
import { Type } from 'typebox';
import { Drill, DrillPlan, DrillRequest, DrillSchedule, Drills } from '../../protocol/api/drills.ts';
import { drillsView, drillView, lastDrill } from './drill-views.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { DrillRunner } from '../drill/drill.ts';
import { orRefuse, RefusedError, shown, type Server } from './http.ts';
import type { Metric } from './metrics.ts';

const DrillParams = Type.Object({ number: Type.String({ pattern: '^[0-9]{1,9}$' }) });

export function registerDrillApi(
  app: Server,
  { inventory, drills }: { inventory: Inventory; drills: DrillRunner },
): void {
  app.post('/v1/drills', { schema: { body: DrillRequest, response: { 202: Drill } } }, async (request, reply) => {
    const { number } = await drills.start(request.body, request.operator);
    return reply.status(202).send(shown(drillView(inventory, number)));
  });
  app.get('/v1/drills', { schema: { response: { 200: Drills } } }, () => Promise.resolve(drillsView(inventory)));
  app.get('/v1/drills/:number', { schema: { params: DrillParams, response: { 200: Drill } } }, (request) => {
    const { number } = request.params;
    const drill = drillView(inventory, Number(number));
    if (drill === undefined) throw new RefusedError(404, `there is no drill ${number}`);
    return Promise.resolve(drill);
  });
  app.put('/v1/drills/schedule', { schema: { body: DrillSchedule, response: { 200: DrillPlan } } }, async (request) => {
    const { image } = request.body.request;
    // A month later nobody would look.
    if (image !== undefined && inventory.images.get(image) === undefined)
      throw new RefusedError(409, `there is no image ${image}: import it first`);
    return inventory.drills.putSchedule(request.body, request.operator);
  });
  app.delete('/v1/drills/schedule', async (request) => {
    orRefuse(await inventory.drills.removeSchedule(request.operator));
    return {};
  });
}

/** Of the last drill that is over; none before the first. */
export function drillMetrics(inventory: Inventory): Metric[] {
  const drill = lastDrill(inventory);
  if (drill === null) return [];
  return [
    gauge('muster_drill_last_ok', 'Whether the last drill passed.', drill.outcome === 'passed' ? 1 : 0),
    gauge(
      'muster_drill_last_timestamp_seconds',
      'When the last drill ended.',
      (drill.endedAt ?? drill.startedAt) / 1_000,
    ),
    ...(drill.slowestMs === null
      ? []
      : [
          gauge(
            'muster_drill_last_slowest_seconds',
            'From the stored order to the confirmation of the slowest node, in the last drill.',
            drill.slowestMs / 1_000,
          ),
        ]),
  ];
}

function gauge(name: string, help: string, value: number): Metric {
  return { name, help, type: 'gauge', values: [{ value }] };
}
