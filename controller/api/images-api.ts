import { Type } from 'typebox';
import { Image, Images } from '../../protocol/api/images.ts';
import { imageNamePattern } from '../../protocol/names.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { ImageStore } from '../image-store.ts';
import type { Server } from './http.ts';

const ImageParams = Type.Object({ image: Type.String({ pattern: imageNamePattern }) });

export function registerImagesApi(
  app: Server,
  { inventory, images }: { inventory: Inventory; images: ImageStore },
): void {
  // An uploaded image is read as a stream by its handler.
  app.addContentTypeParser('application/octet-stream', (_request, _payload, done) => done(null));
  app.get('/v1/images', { schema: { response: { 200: Images } } }, () =>
    Promise.resolve({ images: inventory.images.all(), imports: images.imports() }),
  );
  app.post(
    '/v1/images',
    {
      bodyLimit: 8 * 2 ** 30,
      schema: {
        querystring: Type.Object({ name: Type.String({ pattern: imageNamePattern }) }),
        response: { 201: Image },
      },
    },
    async (request, reply) => {
      request.raw.socket.setTimeout(0);
      // What is left unread of a refused archive must not be taken for this connection's next request.
      reply.header('connection', 'close');
      return reply.status(201).send(await images.receive(request.query.name, request.raw, request.operator));
    },
  );
  app.delete('/v1/images/:image', { schema: { params: ImageParams } }, async (request) => {
    await images.remove(request.params.image);
    return {};
  });
}
