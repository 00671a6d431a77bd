import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// The build is committed and embedded in the Go binary, so it must come out the
// same on every machine: names are hashes of content and nothing holds a date.
export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsDir: 'assets',
    // A strict Content-Security-Policy forbids data: fonts and inline code.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    chunkSizeWarningLimit: 900,
  },
  server: {
    // `npm run dev` beside a running `strata up`.
    proxy: { '/api': 'http://127.0.0.1:4000', '/v1': 'http://127.0.0.1:4000' },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
