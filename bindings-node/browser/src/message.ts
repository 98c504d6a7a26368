import type { Context as OtelContext } from '@opentelemetry/api';
import type { Context } from './context.js';
import type { Message as Data } from './envelope.js';
import type { Pair } from './headers.js';

/** A received message. */
export class Message {
  /** @internal */
  constructor(
    /** Its text, or its bytes. */
    readonly data: Data,
    /** Headers of the application's own. */
    readonly headers: readonly Pair[],
    /** The span that it came from, to be used as a parent. */
    readonly context: Context | undefined,
    /** The span that it came from, to be linked; under trust `link`. */
    readonly link: Context | undefined,
    /** `context` for the OpenTelemetry API, where there is one. */
    readonly otelContext: OtelContext | undefined,
  ) {}

  toString(): string {
    return typeof this.data === 'string' ? this.data : new TextDecoder().decode(this.data);
  }

  /** The value of a message that is JSON. */
  json(): unknown {
    return JSON.parse(String(this));
  }
}

/** Messages that wait for their reader, or a reader that waits for them. */
export class Reader {
  private readonly queue: Message[] = [];
  private waiting: (() => void)[] = [];
  private ended = false;
  private error: Error | undefined;

  push(message: Message): void {
    this.queue.push(message);
    this.wake();
  }

  end(error?: Error): void {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    this.wake();
  }

  async next(): Promise<Message | undefined> {
    while (!this.queue.length && !this.ended) await new Promise<void>((resolve) => this.waiting.push(resolve));
    const message = this.queue.shift();
    if (!message && this.error) throw this.error;
    return message;
  }

  private wake(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}
