/** The kinds of errors, in the order of their numbers (SPEC.md, "Errors, reasons and counters"). */
export const ERROR_KINDS = [
  'invalid_argument',
  'invalid_state',
  'malformed',
  'limit',
  'busy',
  'closed',
  'cancelled',
  'remote',
  'timeout',
  'overflow',
  'role',
  'superseded',
  'io',
  'panic',
] as const;

export type ErrorKind = (typeof ERROR_KINDS)[number];

/** What an implementation raises toward its own application; a peer's bytes never do (W-2). */
export class WirespanError extends Error {
  /** `field` is the argument or header; `errorType` the `error` of a peer where kind is `remote`. */
  constructor(
    readonly kind: ErrorKind,
    readonly field = '',
    readonly errorType = '',
  ) {
    super([kind, field, errorType].filter(Boolean).join(': '));
    this.name = 'WirespanError';
  }
}

export type Counts = Record<string, number>;

/** Adds to a counter, which stays at the largest u32 instead of wrapping (ER-1). */
export function count(counts: Counts, name: string, by = 1): void {
  if (by) counts[name] = Math.min((counts[name] ?? 0) + by, 0xffffffff);
}
