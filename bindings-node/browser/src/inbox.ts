import type { Context as OtelContext } from '@opentelemetry/api';
import { decode } from './bytes.js';
import type { Context } from './context.js';
import type { Message as Data } from './envelope.js';
import type { Pair } from './headers.js';

/** A received message. */
export interface Message {
  /** Its text, or its bytes. */
  readonly data: Data;
  /** Headers of the application's own. */
  readonly headers: readonly Pair[];
  /** The span that it came from, to be used as a parent. */
  readonly context: Context | undefined;
  /** That span and the baggage for the OpenTelemetry API, where there is one. */
  readonly otelContext: OtelContext | undefined;
  toString(): string;
  /** The value of a message that is JSON. */
  json(): unknown;
}

export function newMessage(
  data: Data,
  headers: readonly Pair[],
  context: Context | undefined,
  otelContext: OtelContext | undefined,
): Message {
  const text = (): string => (typeof data === 'string' ? data : decode(data));
  return { data, headers, context, otelContext, toString: text, json: () => JSON.parse(text()) };
}

/** Messages, as they are read. Iterating gives them all. */
export interface Messages extends AsyncIterable<Message> {
  /** The next message; undefined behind the last one.
   * @throws {WirespanError} why there is no further chunk of a call: `remote`, `cancelled`, `timeout`, `overflow`, `closed`, … */
  recv(): Promise<Message | undefined>;
}

/** Messages that wait for their reader, or readers that wait for them. */
export interface Inbox {
  push_(message: Message): void;
  /** The first end counts. */
  finish_(error?: Error): void;
  readonly messages_: Messages;
}

export function newInbox(taken: (data: Data) => void): Inbox {
  const messages: Message[] = [];
  const waiting: (() => void)[] = [];
  let ended = false;
  let failure: Error | undefined;

  const wake = (): void => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  const recv = async (): Promise<Message | undefined> => {
    while (!messages.length && !ended) await new Promise<void>((resolve) => waiting.push(resolve));
    const message = messages.shift();
    if (message) taken(message.data);
    else if (failure) throw failure;
    return message;
  };
  return {
    push_(message: Message): void {
      messages.push(message);
      wake();
    },
    finish_(error?: Error): void {
      if (!ended) failure = error;
      ended = true;
      wake();
    },
    messages_: {
      recv,
      async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
        for (let message = await recv(); message; message = await recv()) yield message;
      },
    },
  };
}
