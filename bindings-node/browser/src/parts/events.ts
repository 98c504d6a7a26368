import type { Host, SpanName } from '../core.js';
import type { Message } from '../envelope.js';
import type { ErrorKind } from '../errors.js';
import type { Attributes } from '../plans.js';
import type { SpanEvent, Stream } from '../stream.js';

/** What a connection has to say to its host, in order. */
export type ConnectionEvent =
  | { event: 'frame'; message: Message }
  | { event: 'span_update'; span: SpanName; attributes: Attributes }
  | { event: 'span_end'; span: SpanName; error: boolean; attributes: Attributes; events: SpanEvent[] }
  | { event: 'read_end'; stream: Stream; end: 'complete' | 'failed'; kind?: ErrorKind; error_type?: string }
  | { event: 'pause_reading' | 'resume_reading' | 'ready' }
  | { event: 'session_changed'; previous: string };

/** Writes down what a connection says, for hosts that ask for it and that tell the time themselves. */
export class Recorder implements Host {
  at = 0;
  private events: ConnectionEvent[] = [];

  /** Gives what was said since the last call. */
  take(): ConnectionEvent[] {
    const { events } = this;
    this.events = [];
    return events;
  }

  emit(event: ConnectionEvent): void {
    this.events.push(event);
  }

  now_(): number {
    return this.at;
  }

  write_(message: Message): void {
    this.emit({ event: 'frame', message });
  }

  updateSpan_(span: SpanName, attributes: Attributes): void {
    this.emit({ event: 'span_update', span, attributes });
  }

  endSpan_(span: SpanName, attributes: Attributes, error: boolean, events: SpanEvent[]): void {
    this.emit({ event: 'span_end', span, error, attributes, events });
  }

  endReader_(stream: Stream, kind?: ErrorKind, errorType?: string): void {
    this.emit({
      event: 'read_end',
      stream,
      end: kind ? 'failed' : 'complete',
      ...(kind && { kind }),
      ...(errorType && { error_type: errorType }),
    });
  }

  becomeReady_(): void {
    this.emit({ event: 'ready' });
  }
}
