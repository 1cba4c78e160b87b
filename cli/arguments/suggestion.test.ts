import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suggestion } from './suggestion.ts';

test('suggestion() finds what was nearly typed, and nothing for what was not', () => {
  const choices = ['nodes', 'node', 'customers', 'events', 'kill', 'kills', 'lift', 'ps'];
  const table: [string, string | undefined][] = [
    ['nods', 'nodes'],
    ['nodse', 'nodes'],
    ['kil', 'kill'],
    ['klil', 'kill'],
    ['custmers', 'customers'],
    ['sp', 'ps'],
    ['frobnicate', undefined],
    ['x', undefined],
  ];
  for (const [typed, meant] of table) assert.equal(suggestion(typed, choices), meant, typed);
});
