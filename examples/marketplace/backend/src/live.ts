// SPDX-License-Identifier: Apache-2.0
import { STATUS_CODES } from 'node:http';
import { hostname } from 'node:os';
import type { Duplex } from 'node:stream';

import type { FastifyInstance } from 'fastify';
import { WebSocketServer, type WebSocket } from 'ws';

import type { Config } from './config.js';

const LIVE_PATH = '/api/live';
/** RFC 6455, 7.4.1: to a client a reason to come back, and no error. */
const GOING_AWAY = 1001;
/** A reverse proxy ends a connection on which nothing is said for a minute, and does not say so. */
const PING_MILLISECONDS = 25_000;
/** How long a client may take to answer a close frame before it is cut off. */
const CLOSE_MILLISECONDS = 3_000;

/**
 * WebSockets of open pages, on /api/live: greeted with what this process is, then told what changes. Everything they are told is
 * public, so whoever connects is welcome, from any page. On close each is told to go elsewhere.
 * @returns how to tell all of them something.
 */
export function openLive(app: FastifyInstance, config: Pick<Config, 'version'>, pingMilliseconds = PING_MILLISECONDS): (text: string) => void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1024 });
  const answered = new WeakSet<WebSocket>();
  let closing = false;

  app.server.on('upgrade', (request, socket, head) => {
    if (request.url?.split('?')[0] !== LIVE_PATH) return refuse(socket, 404);
    if (closing) return refuse(socket, 503);
    sockets.handleUpgrade(request, socket, head, (client) => {
      answered.add(client);
      client.on('pong', () => answered.add(client));
      client.on('error', (error) => app.log.debug({ err: error }, 'live socket'));
      client.send(JSON.stringify({ type: 'hello', version: config.version, hostname: hostname() }));
    });
  });

  const pings = setInterval(() => {
    for (const client of sockets.clients) {
      if (answered.delete(client)) client.ping();
      else client.terminate();
    }
  }, pingMilliseconds);

  app.addHook('preClose', async () => {
    closing = true;
    clearInterval(pings);
    app.log.info({ sockets: sockets.clients.size }, 'sending live sockets away');
    for (const client of sockets.clients) {
      client.close(GOING_AWAY, 'going away');
      setTimeout(() => client.terminate(), CLOSE_MILLISECONDS).unref();
    }
  });
  return (text) => {
    for (const client of sockets.clients) client.send(text);
  };
}

function refuse(socket: Duplex, status: number): void {
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
