import type { Context } from '../context.js';

/** A connection, as a registry of sessions sees it. */
export interface Holder {
  onSuperseded(at: number): void;
}

interface Entry {
  remote: string;
  live: Holder | undefined;
  span: Context | undefined;
}

/** The sessions of a server, live and remembered (SE-6). */
export class Registry {
  private readonly entries = new Map<string, Entry>();

  constructor(
    private readonly maxSessions = 100000,
    private readonly maxPerRemote = 10000,
  ) {}

  /** The connection whose session this is now. */
  holder(id: string): Holder | undefined {
    return this.entries.get(id)?.live;
  }

  /** The span that stood for the last connection of a session. */
  span(id: string): Context | undefined {
    return this.entries.get(id)?.span;
  }

  /** Makes an id live for a connection, if there is room, in place of the one that it has (SE-8). A refusal changes nothing. */
  claim(id: string, remote: string, holder: Holder, insteadOf?: string): boolean {
    const known = this.entries.get(id);
    const own = insteadOf === undefined ? undefined : this.entries.get(insteadOf);
    const given = [known, own?.live === holder ? own : undefined].filter((entry) => entry !== undefined);
    const hasPlace = given.some((entry) => entry.remote === remote);
    if (!hasPlace && !this.makeRoom(remote, given.length > 0)) return false;
    this.entries.delete(id);
    if (insteadOf !== undefined && own?.live === holder) this.entries.delete(insteadOf);
    this.entries.set(id, { remote, live: holder, span: known?.span });
    return true;
  }

  remember(id: string, holder: Holder, span: Context | undefined): void {
    const entry = this.entries.get(id);
    if (entry?.live === holder && span) entry.span = span;
  }

  /** Ends that an id is live; `forget` gives its place free as well. */
  release(id: string, holder: Holder, forget = false): void {
    const entry = this.entries.get(id);
    if (entry?.live !== holder) return;
    entry.live = undefined;
    if (forget) this.entries.delete(id);
  }

  private makeRoom(remote: string, inAll: boolean): boolean {
    const ofRemote = [...this.entries].filter(([, entry]) => entry.remote === remote);
    if (ofRemote.length >= this.maxPerRemote) return this.forgetOldest(ofRemote);
    return inAll || this.entries.size < this.maxSessions || this.forgetOldest(this.entries);
  }

  private forgetOldest(entries: Iterable<[string, Entry]>): boolean {
    for (const [id, entry] of entries) if (!entry.live) return this.entries.delete(id);
    return false;
  }
}
