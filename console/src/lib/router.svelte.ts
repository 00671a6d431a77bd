// Pages have real addresses, and every filter is part of the address, so that
// a view can be reloaded, shared and gone back to.

export type PageName = 'overview' | 'calls' | 'call' | 'playground' | 'prices' | 'price' | 'keys' | 'ledger' | 'not_found';

export interface Route {
  page: PageName;
  /** The id of a call, or "provider/model" of a price. */
  arg: string;
}

export function match(path: string): Route {
  const parts = path.replace(/\/+$/, '').split('/').filter(Boolean);
  let args: string[];
  try {
    args = parts.slice(1).map(decodeURIComponent);
  } catch {
    return { page: 'not_found', arg: '' };
  }
  switch (parts[0]) {
    case undefined:
      return { page: 'overview', arg: '' };
    case 'calls':
      if (args.length === 0) return { page: 'calls', arg: '' };
      return args.length === 1 ? { page: 'call', arg: args[0]! } : { page: 'not_found', arg: '' };
    case 'prices':
      return args.length >= 2 ? { page: 'price', arg: args.join('/') } : args.length === 0 ? { page: 'prices', arg: '' } : { page: 'not_found', arg: '' };
    case 'playground':
    case 'keys':
    case 'ledger':
      return args.length === 0 ? { page: parts[0], arg: '' } : { page: 'not_found', arg: '' };
  }
  return { page: 'not_found', arg: '' };
}

class Router {
  path = $state(location.pathname);
  query = $state(new URLSearchParams(location.search));
  route: Route = $derived(match(this.path));

  constructor() {
    addEventListener('popstate', () => this.read());
  }

  private read(): void {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }

  go(href: string, replace = false): void {
    if (href !== location.pathname + location.search) {
      if (replace) history.replaceState(null, '', href);
      else history.pushState(null, '', href);
    }
    const moved = location.pathname !== this.path;
    this.read();
    if (moved && !replace) {
      scrollTo(0, 0);
      // The reader of a screen, and the keyboard, start at the new page.
      document.getElementById('main')?.focus({ preventScroll: true });
    }
  }

  /** Changes parameters of the present page's query; null or '' removes one. */
  set(changes: Record<string, string | null>, replace = true): void {
    const q = new URLSearchParams(this.query);
    for (const [k, v] of Object.entries(changes)) {
      if (v === null || v === '') q.delete(k);
      else q.set(k, v);
    }
    const s = q.toString();
    this.go(this.path + (s ? `?${s}` : ''), replace);
  }

  get(name: string): string {
    return this.query.get(name) ?? '';
  }
}

export const router = new Router();

/** Turns clicks on links to own pages into moves without a reload. */
export function onLinkClick(e: MouseEvent): void {
  if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  const a = (e.target as Element | null)?.closest?.('a');
  if (!a || a.target || a.hasAttribute('download') || a.origin !== location.origin) return;
  if (/^\/(api|v1)(\/|$)/.test(a.pathname)) return;
  if (a.hash && a.pathname === location.pathname) return;
  e.preventDefault();
  router.go(a.pathname + a.search);
}

export function callHref(id: string): string {
  return `/calls/${encodeURIComponent(id)}`;
}

/** The page of a price; "-" stands for a price that holds for any provider. */
export function priceHref(provider: string, model: string): string {
  return `/prices/${encodeURIComponent(provider || '-')}/${model.split('/').map(encodeURIComponent).join('/')}`;
}

export function callsHref(params: Record<string, string>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v) q.set(k, v);
  const s = q.toString();
  return s ? `/calls?${s}` : '/calls';
}
