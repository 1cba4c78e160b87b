// A program: `node listeners.ts URL COUNT TOKEN` keeps so many operators' event streams open and reads them, until it is killed.
// Prints the bytes that came so far, a line each 500 ms.
import { get } from 'node:http';

const [url = '', count = '0', token = ''] = process.argv.slice(2);
const headers = { authorization: `Bearer ${token}` };
let bytes = 0;
for (let i = 0; i < Number(count); i++)
  get(url, { agent: false, headers }, (answer) => {
    if (answer.statusCode !== 200) throw new Error(`cannot listen: the answer is ${answer.statusCode}, want 200`);
    answer.on('data', (chunk: Buffer) => (bytes += chunk.length));
  }).on('error', (error) => process.stderr.write(`${error.message}\n`));
setInterval(() => process.stdout.write(`${JSON.stringify({ bytes })}\n`), 500);
