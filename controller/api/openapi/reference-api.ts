// The API's description, served: the checked-in document as it is, and a page made from it. Neither is read before somebody
// asks.
import { readFile } from 'node:fs/promises';
import { referenceHtml } from '../../../dashboard/reference.ts';
import { referenceRoutes } from '../../../protocol/api/status.ts';
import { RefusedError, served, type Server } from '../serving/http.ts';

const documentFile = new URL('../../../docs/openapi.json', import.meta.url);

export function registerReferenceApi(app: Server): void {
  let known: { document: string; page: string } | undefined;
  async function reference(): Promise<{ document: string; page: string }> {
    if (known !== undefined) return known;
    const document = await readFile(documentFile, 'utf8').catch((cause: unknown) => {
      throw new RefusedError(404, `this installation comes without docs/openapi.json: ${String(cause)}`);
    });
    known = { document, page: referenceHtml(JSON.parse(document)) };
    return known;
  }
  app.route({
    ...served(referenceRoutes.getOpenApi),
    handler: async (_request, reply) =>
      reply
        .type('application/json')
        .header('cache-control', 'no-cache')
        .send((await reference()).document),
  });
  app.route({
    ...served(referenceRoutes.getReference),
    handler: async (_request, reply) =>
      reply
        .type('text/html; charset=utf-8')
        .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
        .header('cache-control', 'no-cache')
        .send((await reference()).page),
  });
}
