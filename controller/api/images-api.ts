import { usersOf } from '../../inventory/customers/images.ts';
import { imageRoutes, type ImageDetail } from '../../protocol/api/images.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { ImageStore } from '../images/image-store.ts';
import type { Registry } from '../images/registry/registry.ts';
import { imageRefusal, ownCustomer } from './serving/access.ts';
import { RefusedError, served, type Server } from './serving/http.ts';
import { pageOf } from './serving/pages.ts';
import { readOn } from './serving/read-on.ts';

export function registerImagesApi(
  app: Server,
  {
    inventory,
    images,
    registry,
  }: { inventory: Inventory; images: ImageStore; registry?: (() => Promise<Registry>) | undefined },
): void {
  // An uploaded image is read as a stream by its handler.
  app.addContentTypeParser('application/octet-stream', () => Promise.resolve());
  app.route({
    ...served(imageRoutes.listImages),

    handler: async ({ query, asking }) => {
      const customers = inventory.customers.all().map(({ name }) => name);
      const all = inventory.images
        .all()
        .filter(({ name }) => imageRefusal(asking, { image: name, customers }) === undefined);
      const { items, rest } = await pageOf(all, { query, key: ({ name }) => name, view: (image) => image });
      const own = ownCustomer(asking);
      const workloads = inventory.workloads.all().filter(({ customer }) => own === undefined || customer === own);
      const users = usersOf(workloads);
      const used = Object.fromEntries(
        items.flatMap(({ name }) => (users.has(name) ? [[name, users.get(name) ?? []]] : [])),
      );
      return { images: items, imports: own === undefined ? images.imports() : [], used, ...rest };
    },
  });
  app.route({
    ...served(imageRoutes.getImage),
    handler: async ({ params }) => imageDetail(inventory, params.image),
  });
  app.route({
    ...served(imageRoutes.pruneImages),
    handler: async ({ body }) => {
      const pruned = await images.prune(body);
      if (body.dryRun || registry === undefined) return pruned;
      for (const name of pruned.removed) await (await registry()).forget(name);
      return { ...pruned, freedBytes: pruned.freedBytes + (await (await registry()).collect()) };
    },
  });
  registerImports(app, images);
  app.route({
    ...served(imageRoutes.removeImage),

    handler: async (request) => {
      await images.remove(request.params.image);
      await (await registry?.())?.forget(request.params.image);
      return {};
    },
  });
}

function registerImports(app: Server, images: ImageStore): void {
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
    ...served(imageRoutes.pullImage),
    handler: async (request, reply) => {
      const { source, name, user, password, checksCertificate } = request.body;
      if ((user === undefined) !== (password === undefined))
        throw new RefusedError(400, 'cannot log in with half of it: want user and password, or neither');
      // It takes as long as it takes; the import's process has a limit.
      request.raw.socket.setTimeout(0);
      const login = user === undefined || password === undefined ? undefined : { user, password };
      const image = await images.pull(source, { name, by: request.operator, login, checksCertificate });
      return reply.status(201).send(image);
    },
  });
}

function imageDetail(inventory: Inventory, name: string): ImageDetail {
  const image = inventory.images.get(name);
  if (image === undefined) throw new RefusedError(404, `there is no image ${name}`);
  const counts = new Map<string, number>();
  for (const { customer, workload } of inventory.instances.all()) {
    const id = `${customer}/${workload}`;
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return {
    image,
    usedBy: inventory.workloads
      .all()
      .filter((workload) => workload.image.name === name)
      .map((workload) => {
        const id = `${workload.customer}/${workload.name}`;
        return { workload: id, digest: workload.image.digest, instances: counts.get(id) ?? 0 };
      }),
    sharedWith: inventory.images
      .all()
      .flatMap((other) => (other.name !== name && other.squashfs.sha256 === image.squashfs.sha256 ? other.name : [])),
  };
}
