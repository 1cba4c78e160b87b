import { imageRoutes } from '../../protocol/api/images.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { ImageStore } from '../image-store.ts';
import { served, type Server } from './http.ts';
import { pageOf } from './pages.ts';

export function registerImagesApi(
  app: Server,
  { inventory, images }: { inventory: Inventory; images: ImageStore },
): void {
  // An uploaded image is read as a stream by its handler.
  app.addContentTypeParser('application/octet-stream', (_request, _payload, done) => done(null));
  app.route({
    ...served(imageRoutes.listImages),

    handler: ({ query }) => {
      const { items, rest } = pageOf(inventory.images.all(), { query, key: ({ name }) => name });
      return Promise.resolve({ images: items, imports: images.imports(), ...rest });
    },
  });
  app.route({
    ...served(imageRoutes.importImage),
    bodyLimit: 8 * 2 ** 30,
    handler: async (request, reply) => {
      request.raw.socket.setTimeout(0);
      // What is left unread of a refused archive must not be taken for this connection's next request.
      reply.header('connection', 'close');
      return reply.status(201).send(await images.receive(request.query.name, request.raw, request.operator));
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
