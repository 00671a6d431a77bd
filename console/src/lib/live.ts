import type { Call } from './types';
import { withParams, type Params } from './api';

/** Follows settled calls until the returned function is called. */
export function follow(params: Params, onCall: (c: Call) => void, onState: (open: boolean) => void): () => void {
  const source = new EventSource(withParams('/api/v1/calls/live', params));
  const take = (e: MessageEvent<string>) => {
    try {
      onCall(JSON.parse(e.data) as Call);
    } catch {
      // A comment or another kind of event.
    }
  };
  source.addEventListener('message', take);
  source.addEventListener('call', take);
  source.addEventListener('open', () => onState(true));
  source.addEventListener('error', () => onState(false));
  return () => source.close();
}
