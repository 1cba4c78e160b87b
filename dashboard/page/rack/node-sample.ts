// What changes each second of a node: written in place, built anew only when the cores are others.
import type { Sample } from '../../../protocol/api/samples.ts';
import { element, meter, setMeter, setText } from '../element.ts';
import { bytes, duration, percent } from '../words.ts';

interface Figure {
  bar: HTMLElement;
  figure: HTMLElement;
}

interface Built {
  cores: Figure[];
  memory: Figure;
  fields: Map<string, HTMLElement>;
}

export interface NodeSample {
  root: HTMLElement;
  /** Empty where there is none. */
  draw(sample: Sample | null): void;
}

export function nodeSample(): NodeSample {
  const root = element('div', { class: 'sample', 'data-testid': 'node-sample' });
  let built: Built | undefined;
  return {
    root,
    draw(sample) {
      if (sample === null) {
        built = undefined;
        root.replaceChildren();
        return;
      }
      if (built === undefined || built.cores.length !== sample.cpuPerCore.length) {
        built = build(sample);
        root.replaceChildren(...layout(built));
      }
      fill(built, sample);
    },
  };
}

function build(sample: Sample): Built {
  return {
    cores: sample.cpuPerCore.map((_, index) => figureOf(`CPU core ${index + 1}`)),
    memory: figureOf('Memory'),
    fields: new Map(Object.keys(figuresOf(sample)).map((name) => [name, element('dd')])),
  };
}

function figureOf(name: string): Figure {
  return { bar: meter(0, name), figure: element('span', { class: 'figure' }) };
}

function layout({ cores, memory, fields }: Built): HTMLElement[] {
  return [
    element(
      'div',
      { class: 'cores', 'data-testid': 'node-cores' },
      ...cores.map((core, index) => row(`Core ${index + 1}`, core)),
      row('RAM', memory),
    ),
    element(
      'dl',
      { class: 'tiles' },
      ...[...fields].map(([name, field]) => element('div', {}, element('dt', {}, name), field)),
    ),
  ];
}

function row(name: string, { bar, figure }: Figure): HTMLElement {
  return element('div', { class: 'meter-row' }, element('span', {}, name), bar, figure);
}

function fill({ cores, memory, fields }: Built, sample: Sample): void {
  for (const [index, share] of sample.cpuPerCore.entries()) {
    const core = cores[index];
    if (core === undefined) continue;
    setMeter(core.bar, share);
    setText(core.figure, percent(share));
  }
  setMeter(memory.bar, sample.memoryUsedBytes / Math.max(1, sample.memoryTotalBytes));
  setText(memory.figure, `${bytes(sample.memoryUsedBytes)} of ${bytes(sample.memoryTotalBytes)}`);
  for (const [name, text] of Object.entries(figuresOf(sample))) {
    const field = fields.get(name);
    if (field !== undefined) setText(field, text);
  }
}

function figuresOf(sample: Sample): Record<string, string> {
  const { temperatureCelsius } = sample;
  return {
    CPU: percent(sample.cpu),
    Temperature: temperatureCelsius === null ? 'no sensor' : `${temperatureCelsius.toFixed(0)} °C`,
    Uptime: duration(sample.uptimeSeconds * 1000),
    Received: `${bytes(sample.rxBytesPerSecond)}/s`,
    Sent: `${bytes(sample.txBytesPerSecond)}/s`,
    Agent: bytes(sample.agentRssBytes),
    'Permit delay': `${sample.permitThreadDelayMs.toFixed(0)} ms`,
  };
}
