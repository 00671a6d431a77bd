// Theme and language: kept in this browser, and applied to <html>.

export type Theme = 'system' | 'light' | 'dark';
export type Lang = 'en' | 'zh';

function load(key: string): string {
  try {
    return localStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

function save(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage may be forbidden; the choice then lasts until the reload.
  }
}

class Prefs {
  theme = $state<Theme>('system');
  lang = $state<Lang>('en');
  private systemDark = $state(false);
  dark = $derived(this.theme === 'dark' || (this.theme === 'system' && this.systemDark));

  constructor() {
    const t = load('strata.theme');
    if (t === 'light' || t === 'dark') this.theme = t;
    this.lang = document.documentElement.lang.startsWith('zh') ? 'zh' : 'en';
    const media = matchMedia('(prefers-color-scheme: dark)');
    this.systemDark = media.matches;
    media.addEventListener('change', (e) => (this.systemDark = e.matches));
  }

  setTheme(t: Theme): void {
    this.theme = t;
    save('strata.theme', t);
    if (t === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = t;
  }

  setLang(l: Lang): void {
    this.lang = l;
    save('strata.lang', l);
    // Without this, Chinese is drawn in Japanese shapes, in canvas too.
    document.documentElement.lang = l === 'zh' ? 'zh-CN' : 'en';
  }
}

export const prefs = new Prefs();
