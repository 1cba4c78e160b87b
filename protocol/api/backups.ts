import { Type } from 'typebox';

/** Where the copies are, on the controller's machine. */
export const Backup = Type.Object({ directory: Type.String() });
