// The conversation of the playground. It lives outside the page, so that
// looking at a receipt and coming back loses nothing.
import { api, ApiError, csrfHeader, errorOf, isAbort } from './api';
import { app } from './app.svelte';
import { sum } from './money';
import { events } from './sse';
import type { CallDetail, CallsReply } from './types';

export interface Turn {
  question: string;
  answer: string;
  thinking: string;
  model: string;
  state: 'streaming' | 'done' | 'stopped' | 'failed';
  error: ApiError | null;
  callId: string;
  /** The settled receipt; null until the ledger has it. */
  receipt: CallDetail | null;
  /** Pieces received: an idea of tokens while the stream runs. */
  pieces: number;
  started: number;
  firstAt: number;
  now: number;
}

export interface Settings {
  model: string;
  system: string;
  temperature: string;
  maxTokens: string;
  seed: string;
}

interface Chunk {
  choices?: { delta?: { content?: string | null; reasoning_content?: string | null; reasoning?: string | null; refusal?: string | null } }[];
  error?: { code?: string; message?: string };
}

class Chat {
  turns = $state<Turn[]>([]);
  settings = $state<Settings>({ model: '', system: '', temperature: '', maxTokens: '', seed: '' });
  draft = $state('');
  private abort: AbortController | null = null;

  running = $derived(this.turns.some((t) => t.state === 'streaming'));
  receipts = $derived(this.turns.flatMap((t) => (t.receipt ? [t.receipt] : [])));
  /** The exact sum of the turns whose cost is known. */
  cost = $derived(sum(this.receipts.map((r) => r.cost_usd)));
  unknownCost = $derived(this.receipts.filter((r) => r.cost_usd == null).length);

  clear(): void {
    this.stop();
    this.turns = [];
  }

  stop(): void {
    this.abort?.abort();
  }

  async ask(question: string): Promise<void> {
    if (this.running || !question.trim()) return;
    const s = this.settings;
    this.turns.push({
      question: question.trim(),
      answer: '',
      thinking: '',
      model: s.model,
      state: 'streaming',
      error: null,
      callId: '',
      receipt: null,
      pieces: 0,
      started: performance.now(),
      firstAt: 0,
      now: performance.now(),
    });
    // Through the array, so that what is changed is the reactive turn.
    const turn = this.turns[this.turns.length - 1]!;
    const abort = (this.abort = new AbortController());
    try {
      const res = await fetch('/v1/chat/completions', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-Strata-Feature': 'playground', ...csrfHeader() },
        credentials: 'same-origin',
        signal: abort.signal,
        body: JSON.stringify(this.body(s)),
      });
      turn.callId = res.headers.get('X-Strata-Call-Id') ?? '';
      if (!res.ok || !res.body) throw await errorOf(res);
      for await (const e of events(res.body)) {
        if (e.data === '[DONE]') break;
        const chunk = JSON.parse(e.data) as Chunk;
        if (chunk.error) throw new ApiError(200, chunk.error.code ?? 'upstream_error', chunk.error.message ?? '');
        const d = chunk.choices?.[0]?.delta;
        const text = d?.content ?? d?.refusal ?? '';
        const thought = d?.reasoning_content ?? d?.reasoning ?? '';
        turn.now = performance.now();
        if (text || thought) {
          turn.firstAt ||= turn.now;
          turn.pieces++;
          turn.answer += text;
          turn.thinking += thought;
        }
      }
      turn.state = 'done';
    } catch (e) {
      if (isAbort(e)) turn.state = 'stopped';
      else {
        turn.state = 'failed';
        turn.error = e instanceof ApiError ? e : new ApiError(0, e instanceof SyntaxError ? 'upstream_protocol_error' : 'network', String(e));
      }
    } finally {
      if (this.abort === abort) this.abort = null;
      turn.now = performance.now();
    }
    if (turn.callId) await this.settle(turn);
  }

  private body(s: Settings): Record<string, unknown> {
    const messages: { role: string; content: string }[] = [];
    if (s.system.trim()) messages.push({ role: 'system', content: s.system.trim() });
    for (const t of this.turns) {
      if (t.state === 'failed') continue;
      messages.push({ role: 'user', content: t.question });
      if (t.state !== 'streaming' && t.answer) messages.push({ role: 'assistant', content: t.answer });
    }
    const body: Record<string, unknown> = { model: s.model, messages, stream: true, stream_options: { include_usage: true } };
    const number = (v: string) => (v.trim() !== '' && Number.isFinite(Number(v)) ? Number(v) : undefined);
    if (number(s.temperature) !== undefined) body.temperature = number(s.temperature);
    if (number(s.maxTokens) !== undefined) body.max_tokens = number(s.maxTokens);
    if (number(s.seed) !== undefined) body.seed = number(s.seed);
    return body;
  }

  /** Reads the receipt. A whole reply is settled before its end; a stopped one a moment later. */
  private async settle(turn: Turn): Promise<void> {
    for (const wait of [0, 150, 400, 1000, 2500, 5000]) {
      if (wait) await new Promise((r) => setTimeout(r, wait));
      try {
        // A call that is not settled yet is an empty list, not an error.
        const list = await api.get<CallsReply>('/api/v1/calls', { root: turn.callId, limit: 1 });
        if (!list.calls?.length) continue;
        turn.receipt = await api.get<CallDetail>(`/api/v1/calls/${encodeURIComponent(turn.callId)}`);
        void app.refresh();
        return;
      } catch {
        return; // The link to the receipt stays; the page there says what is wrong.
      }
    }
  }
}

export const chat = new Chat();
