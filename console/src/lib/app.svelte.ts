// What every page needs to know of the server: who we are, its status, models.
import { api, ApiError, setSession } from './api';
import { validZone } from './time';
import type { Model, Session, Status } from './types';

class App {
  session = $state<Session | null>(null);
  status = $state<Status | null>(null);
  models = $state<Model[] | null>(null);
  /** Set when the server cannot be reached at all. */
  failed = $state<ApiError | null>(null);
  /** Grows when sample data came or went, so that pages read again. */
  epoch = $state(0);

  zone = $derived(validZone(this.status?.time_zone));
  signedIn = $derived(this.session?.authenticated === true);
  isAdmin = $derived(this.session?.role === 'admin');

  async start(): Promise<void> {
    this.failed = null;
    try {
      await this.readSession();
    } catch (e) {
      this.failed = e instanceof ApiError ? e : new ApiError(0, 'network', String(e));
      return;
    }
    if (this.signedIn) await Promise.all([this.refresh(), this.readModels()]);
  }

  private async readSession(): Promise<void> {
    let s: Session;
    try {
      s = await api.get<Session>('/api/v1/session');
    } catch (e) {
      if (!(e instanceof ApiError) || e.status !== 401) throw e;
      s = { authenticated: false, role: '', csrf: '' };
    }
    this.accept(s);
  }

  private accept(s: Session): void {
    this.session = s;
    setSession(s, () => {
      if (this.session?.authenticated) this.session = { authenticated: false, role: '', csrf: '' };
    });
  }

  async login(key: string): Promise<void> {
    const s = await api.post<Session | undefined>('/api/v1/session', { key });
    if (s && typeof s.authenticated === 'boolean') this.accept(s);
    if (!this.session?.authenticated || !this.session.csrf) await this.readSession();
    await Promise.all([this.refresh(), this.readModels()]);
  }

  async logout(): Promise<void> {
    await api.delete('/api/v1/session');
    await this.readSession();
  }

  async refresh(): Promise<void> {
    try {
      this.status = await api.get<Status>('/api/v1/status');
      this.failed = null;
    } catch (e) {
      if (e instanceof ApiError && e.code === 'network') this.failed = e;
    }
  }

  async readModels(): Promise<void> {
    try {
      this.models = (await api.get<{ models: Model[] | null }>('/api/v1/models')).models ?? [];
    } catch {
      this.models ??= [];
    }
  }

  async loadSamples(): Promise<void> {
    await api.post('/api/v1/sample-data');
    await this.refresh();
    this.epoch++;
  }

  async eraseSamples(): Promise<void> {
    await api.delete('/api/v1/sample-data');
    await this.refresh();
    this.epoch++;
  }
}

export const app = new App();
