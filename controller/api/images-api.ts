import type { IncomingMessage } from 'node:http';
import { imageRoutes } from '../../protocol/api/images.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { ImageStore } from '../images/image-store.ts';
import { imageRefusal, ownCustomer } from './serving/access.ts';
import { served, type Server } from './serving/http.ts';
import { pageOf } from './serving/pages.ts';

/** How long a refused sender has to read why. */
const lingerMs = 3_000;

export function registerImagesApi(
  app: Server,
  { inventory, images }: { inventory: Inventory; images: ImageStore },
): void {
  // An uploaded image is read as a stream by its handler.
  app.addContentTypeParser('application/octet-stream', () => Promise.resolve());
  app.route({
    ...served(imageRoutes.listImages),

    handler: async ({ query, asking }) => {
      const customers = inventory.customers.all().map(({ name }) => name);
      const all = inventory.images.all().filter(({ name }) => imageRefusal(asking, { image: name, customers }) === undefined);
      const { items, rest } = await pageOf(all, { query, key: ({ name }) => name, view: (image) => image });
      return { images: items, imports: ownCustomer(asking) === undefined ? images.imports() : [], ...rest };
    },
  });
  app.route({
    ...served(imageRoutes.importImage),
    bodyLimit: 8 * 2 ** 30,
    handler: async (request, reply) => {
      request.raw.socket.setTimeout(0);
      // What is left unread of a refused archive must not be taken for this connection's next request.
      reply.header('connection', 'close');
      try {
        return await reply
          .status(201)
          .send(await images.receive(request.raw, { name: request.query.name, by: request.operator }));
      } catch (error) {
        readOn(request.raw);
        throw error;
      }
    },
  });
  app.route({
    ...served(imageRoutes.removeImage),

    handler: async (request) => {
      await images.remove(request.params.image);
      return {};
    },
  });
}

/**
 * A connection that is closed with something unread is reset, and who still sends never reads the answer: what comes after
 * a refusal is thrown away for a while, until the sender closes.
 */
function readOn(request: IncomingMessage): void {
  if (request.complete) return;
  const { socket } = request;
  // What the server calls when the answer is written.
  socket.destroySoon = () => {
    socket.end();
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once('close', () => clearTimeout(timer));
  };
  request.resume();
}
