import { ApiError, isAbort } from './api';

/**
 * Something read from the server: what it is, whether it is being read, and
 * what went wrong. A newer read ends an older one; the last good value stays
 * while the next one is on its way.
 */
export class Loaded<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<ApiError | null>(null);
  busy = $state(false);
  private abort: AbortController | null = null;

  async run(read: (signal: AbortSignal) => Promise<T>): Promise<void> {
    this.abort?.abort();
    const mine = new AbortController();
    this.abort = mine;
    this.busy = true;
    try {
      const v = await read(mine.signal);
      if (mine.signal.aborted) return;
      this.value = v;
      this.error = null;
    } catch (e) {
      if (isAbort(e) || mine.signal.aborted) return;
      this.error = e instanceof ApiError ? e : new ApiError(0, 'internal_error', String(e));
    } finally {
      if (this.abort === mine) {
        this.busy = false;
        this.abort = null;
      }
    }
  }

  stop(): void {
    this.abort?.abort();
    this.abort = null;
    this.busy = false;
  }
}
