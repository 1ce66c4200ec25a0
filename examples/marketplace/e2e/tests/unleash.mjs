// SPDX-License-Identifier: Apache-2.0
// Answers like Unleash, to those who have the token, with what a test has put into a file.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [port, file, token] = process.argv.slice(2);

createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  if (request.url === '/health') return response.end('{}');
  if (request.headers.authorization !== token) return response.writeHead(401).end('{}');
  response.end(request.url?.startsWith('/api/client/features') ? readFileSync(file, 'utf8') : '{}');
}).listen(Number(port), '127.0.0.1');
