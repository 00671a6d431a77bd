/** One server-sent event. */
export interface ServerEvent {
  event: string;
  data: string;
}

/**
 * A decoder of server-sent events that takes text in any pieces: an event may
 * be cut anywhere, also inside a line ending.
 */
export class EventDecoder {
  private rest = '';
  private event = '';
  private data: string[] = [];

  /** Feeds text and returns the events that it completes. */
  push(text: string): ServerEvent[] {
    this.rest += text;
    const out: ServerEvent[] = [];
    for (;;) {
      const m = /\r\n|\n|\r/.exec(this.rest);
      if (!m) break;
      // A lone CR at the very end may be half of a CRLF.
      if (m[0] === '\r' && m.index === this.rest.length - 1) break;
      const line = this.rest.slice(0, m.index);
      this.rest = this.rest.slice(m.index + m[0].length);
      if (line === '') {
        if (this.data.length) out.push({ event: this.event || 'message', data: this.data.join('\n') });
        this.event = '';
        this.data = [];
        continue;
      }
      if (line.startsWith(':')) continue;
      const colon = line.indexOf(':');
      const field = colon < 0 ? line : line.slice(0, colon);
      let value = colon < 0 ? '' : line.slice(colon + 1);
      if (value.startsWith(' ')) value = value.slice(1);
      if (field === 'data') this.data.push(value);
      else if (field === 'event') this.event = value;
    }
    return out;
  }
}

/** Reads a response body as server-sent events. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const text = new TextDecoder();
  const decoder = new EventDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* decoder.push(text.decode(value, { stream: true }));
    }
  } finally {
    reader.releaseLock();
  }
}
