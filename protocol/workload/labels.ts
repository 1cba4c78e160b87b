// Labels of boards, and what a workload wants of them. An operator's own, and those that follow from what a board is. Pure.
import type { NodeFacts } from '../api/nodes.ts';

export type Labels = Readonly<Record<string, string>>;

/** Most that an operator may give one board. */
export const labelsLimit = 16;
/** Nobody sets these: they follow from the board. */
export const givenLabels = ['node', 'model', 'cores'] as const;

export function labelsOf({
  name,
  facts,
  labels = {},
}: {
  name: string;
  facts: Pick<NodeFacts, 'model' | 'cores'> | null;
  labels?: Labels | undefined;
}): Labels {
  return {
    ...labels,
    node: name,
    ...(facts !== null && { model: facts.model, cores: String(facts.cores) }),
  };
}

/** Null takes one away. Refuses what is given by the board, and too many. */
export function patchedLabels(
  before: Labels,
  patch: Record<string, string | null>,
): { labels: Labels } | { refused: string } {
  const given = givenLabels.find((name) => patch[name] !== undefined);
  if (given !== undefined) return { refused: `label ${given} follows from the board itself: want another name` };
  const entries = Object.entries({ ...before, ...patch }).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  if (entries.length > labelsLimit)
    return { refused: `it would have ${entries.length} labels, want at most ${labelsLimit}` };
  return { labels: Object.fromEntries(entries) };
}

export function hasLabels(labels: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

/** `rack=2, zone=a` */
export function labelsText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .toSorted()
    .join(', ');
}
