// The API's description as a page to be read: plain HTML from the OpenAPI document, nothing to fetch, no script. Pure.
import { escaped } from './html.ts';

type Json = Readonly<Record<string, unknown>>;

const methods = ['get', 'post', 'put', 'patch', 'delete'];

export const referenceStyle = `
body { font: 15px/1.5 system-ui, sans-serif; color: #111; background: #fff; max-width: 64em; margin: 2em auto; padding: 0 1em }
h2 { margin: 2em 0 .4em; border-bottom: 1px solid #ccc }
h3 { font-size: 1em; margin: 1.6em 0 .2em }
code { font-size: .95em; overflow-wrap: anywhere }
table { border-collapse: collapse; margin: .4em 0 }
th, td { text-align: left; vertical-align: top; padding: .15em .8em .15em 0; border-bottom: 1px solid #ddd }
nav a { margin-right: 1em }
p { margin: .3em 0 }
:target { background: #fff3c4 }
`;

export function referenceHtml(document: unknown): string {
  const info = part(document, 'info');
  const tags = listOf(recordOf(document)['tags']).map((tag) => ({
    name: text(tag, 'name'),
    about: text(tag, 'description'),
  }));
  const operations = Object.entries(part(document, 'paths')).flatMap(([path, item]) =>
    methods.flatMap((method) =>
      isRecord(item) && isRecord(item[method]) ? [{ path, method, told: item[method] }] : [],
    ),
  );
  const components = part(document, 'components');
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(text(info, 'title'))}: the API</title>
<style>${referenceStyle}</style>
<h1>${escaped(text(info, 'title'))} ${escaped(text(info, 'version'))}: the API</h1>
<p>The same for programs: <a href="/openapi.json">/openapi.json</a></p>
<nav>${[...tags.map(({ name }) => name), 'schemas'].map((name) => `<a href="#${escaped(name)}">${escaped(name)}</a>`).join(' ')}</nav>
${markdown(text(info, 'description'))}
${tags
  .map(
    ({ name, about }) => `<h2 id="${escaped(name)}">${escaped(name)}</h2>
<p>${escaped(about)}</p>
${operations
  .filter(({ told }) => listOf(told['tags']).includes(name))
  .map(operationHtml)
  .join('\n')}`,
  )
  .join('\n')}
<h2 id="schemas">schemas</h2>
${Object.entries(part(components, 'schemas')).map(schemaHtml).join('\n')}
</html>
`;
}

function operationHtml({ path, method, told }: { path: string; method: string; told: Json }): string {
  const parameters = listOf(told['parameters']).map((each) => {
    const { name, description, required } = recordOf(each);
    return [
      code(String(name)),
      `${escaped(text(each, 'in'))}${required === true ? ', required' : ''}`,
      typeHtml(recordOf(each)['schema']),
      inline(typeof description === 'string' ? description : ''),
    ];
  });
  const body = Object.entries(part(told['requestBody'], 'content')).map(
    ([type, content]) => `<p>Body: ${code(type)}, ${typeHtml(recordOf(content)['schema'])}</p>`,
  );
  const answers = Object.entries(part(told, 'responses')).flatMap(([status, answer]) =>
    Object.entries(part(answer, 'content')).map(
      ([type, content]) =>
        `<p>${escaped(status)}: ${typeHtml(recordOf(content)['schema'])}${type === 'application/json' ? '' : `, ${code(type)}`}</p>`,
    ),
  );
  const refused = Object.entries(part(told, 'responses')).flatMap(([status, answer]) =>
    typeof recordOf(answer)['$ref'] === 'string' ? [status] : [],
  );
  return `<h3 id="${escaped(text(told, 'operationId'))}">${code(`${method.toUpperCase()} ${path}`)} ${escaped(text(told, 'summary'))}</h3>
${text(told, 'description') === `${text(told, 'summary')}.` ? '' : markdown(text(told, 'description'))}
${parameters.length === 0 ? '' : table([], parameters)}
${body.join('\n')}
${answers.join('\n')}
<p>Refusals: ${escaped(refused.join(', '))}</p>`;
}

function schemaHtml([name, schema]: [string, unknown]): string {
  const required = listOf(recordOf(schema)['required']);
  const fields = Object.entries(part(schema, 'properties')).map(([field, told]) => [
    code(field),
    typeHtml(told),
    required.includes(field) ? '' : 'optional',
    inline(text(told, 'description')),
  ]);
  return `<h3 id="schema-${escaped(name)}">${escaped(name)}</h3>
<p>${inline(text(schema, 'description'))}</p>
${fields.length === 0 ? `<p>${typeHtml(schema)}</p>` : table([], fields)}`;
}

/** `list of Node`, `integer or null` */
function typeHtml(schema: unknown): string {
  const { $ref, type, enum: words, const: one, items, anyOf, allOf, contentSchema } = recordOf(schema);
  if (typeof $ref === 'string') {
    const name = escaped($ref.split('/').at(-1) ?? '');
    return `<a href="#schema-${name}">${name}</a>`;
  }
  if (contentSchema !== undefined) return `text, ${typeHtml(contentSchema)}`;
  if (one !== undefined) return code(JSON.stringify(one));
  if (Array.isArray(words)) return words.map((word) => code(JSON.stringify(word))).join(' ');
  if (Array.isArray(anyOf)) return anyOf.map(typeHtml).join(' or ');
  if (Array.isArray(allOf)) return allOf.map(typeHtml).join(' with ');
  if (type === 'array') return `list of ${typeHtml(items)}`;
  const fields = Object.entries(part(schema, 'properties'));
  if (fields.length > 0) return `{ ${fields.map(([name, field]) => `${code(name)}: ${typeHtml(field)}`).join(', ')} }`;
  return escaped(typeof type === 'string' ? `${type}${bounds(recordOf(schema))}` : 'anything');
}

function bounds({ minimum, maximum }: Json): string {
  if (typeof minimum !== 'number') return '';
  return typeof maximum === 'number' ? ` ${minimum}\u2013${maximum}` : ` \u2265 ${minimum}`;
}

/** Of Markdown what our descriptions use: paragraphs, tables, words of code. */
function markdown(source: string): string {
  return source
    .split('\n\n')
    .filter((block) => block !== '')
    .map((block) => {
      if (!block.startsWith('|')) return `<p>${inline(block)}</p>`;
      const [head = [], , ...rows] = block.split('\n').map((line) =>
        line
          .slice(1, -1)
          .split('|')
          .map((cell) => inline(cell.trim())),
      );
      return table(head, rows);
    })
    .join('\n');
}

function inline(source: string): string {
  return escaped(source).replaceAll(/`([^`]*)`/g, '<code>$1</code>');
}

/** Of HTML. A row that begins with one word of code can be linked to by it. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const heading = head.length === 0 ? '' : `<tr>${head.map((cell) => `<th>${cell}</th>`).join('')}</tr>`;
  return `<table>${heading}${rows
    .map((row) => {
      const [, id] = /^<code>([a-z-]+)<\/code>$/.exec(row[0] ?? '') ?? [];
      const target = id === undefined || head.length === 0 ? '' : ` id="${id}"`;
      return `<tr${target}>${row.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
    })
    .join('\n')}</table>`;
}

function code(source: string): string {
  return `<code>${escaped(source)}</code>`;
}

function part(of: unknown, name: string): Json {
  return recordOf(recordOf(of)[name]);
}

function text(of: unknown, name: string): string {
  const value = recordOf(of)[name];
  return typeof value === 'string' ? value : '';
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function recordOf(value: unknown): Json {
  return isRecord(value) ? value : {};
}

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
