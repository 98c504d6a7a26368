/** The kinds of errors and their numbers (SPEC.md, "Errors, reasons and counters"). */
export const ERROR_KINDS = {
  invalid_argument: 1,
  invalid_state: 2,
  malformed: 3,
  limit: 4,
  busy: 5,
  closed: 6,
  cancelled: 7,
  remote: 8,
  timeout: 9,
  overflow: 10,
  role: 11,
  superseded: 12,
  io: 13,
  panic: 14,
} as const;

export type ErrorKind = keyof typeof ERROR_KINDS;

export type Reason =
  | 'length'
  | 'version'
  | 'character'
  | 'zero_id'
  | 'trailing'
  | 'duplicate'
  | 'member'
  | 'too_many'
  | 'too_long'
  | 'missing'
  | 'truncated'
  | 'order'
  | 'unknown_critical'
  | 'structure';

/** What an implementation raises toward its own application; a peer's bytes never do (W-2). */
export class WirespanError extends Error {
  /** `field` is the argument or header; `errorType` the `error` of a peer where kind is `remote`. */
  constructor(
    readonly kind: ErrorKind,
    readonly field = '',
    readonly errorType = '',
  ) {
    super(field || errorType ? `${kind}: ${field || errorType}` : kind);
    this.name = 'WirespanError';
  }

  get code(): number {
    return ERROR_KINDS[this.kind];
  }
}

/** Says why a value is outside its grammar. */
export class Refused extends Error {
  constructor(readonly reason: Reason) {
    super(reason);
  }
}

export type Counts = Record<string, number>;

/** Adds to a counter, which stays at the largest u32 instead of wrapping (ER-1). */
export function count(counts: Counts, name: string, by = 1): void {
  if (by) counts[name] = Math.min((counts[name] ?? 0) + by, 0xffffffff);
}
