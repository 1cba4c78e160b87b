import { Type } from 'typebox';
import { closed, told } from '../api/fields.ts';

export const LabelName = Type.String({ pattern: '^[a-z][a-z0-9-]{0,30}$' });
export const LabelValue = Type.String({ pattern: '^[ -~]{1,200}$' });

export const Placement = Type.Object(
  {
    labels: Type.Optional(
      told(
        'Only on boards with all of these labels. `node`, `model` and `cores` follow from the board, others are an operator’s.',
        Type.Record(LabelName, LabelValue, { maxProperties: 16 }),
      ),
    ),
    spread: Type.Optional(
      told('A label, over whose values instances are spread before they are spread over boards.', LabelName),
    ),
  },
  { ...closed, title: 'Placement', description: 'Where instances may run.' },
);
