import type { Routes } from './route.ts';

export const referenceRoutes = {
  getOpenApi: {
    method: 'GET',
    path: '/openapi.json',
    summary: 'This description, in OpenAPI 3.1',
    tag: 'rack',
    security: 'none',
    schema: {},
    produces: 'application/json',
  },
  getReference: {
    method: 'GET',
    path: '/reference',
    summary: 'This description, to be read',
    tag: 'rack',
    security: 'none',
    schema: {},
    produces: 'text/html',
  },
} as const satisfies Routes;
