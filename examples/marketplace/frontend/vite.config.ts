// SPDX-License-Identifier: Apache-2.0
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  // In development the API runs beside Vite; behind the edge both share one address.
  server: { proxy: { '/api': { target: process.env['API_URL'] ?? 'http://localhost:4000', ws: true } } },
});
