// SPDX-License-Identifier: Apache-2.0
// managed by sluice.stack
//
// Maintenance of an app: the allowed clients, and the response for the others. The rest is in sluice.js.

// The edge itself: a deploy checks releases through the public port, in maintenance too.
const EDGE = ['127.0.0.0/8', '::1/128'];

// Two numbers of 16 bits from the four of an IPv4 address.
function pair(parts) {
    return [parts[0] * 256 + Number(parts[1]), parts[2] * 256 + Number(parts[3])];
}

function hexadecimal(text) {
    return text === '' ? [] : text.split(':').map((group) => parseInt(group, 16));
}

// An address as numbers of 16 bits: two, for an IPv4-mapped one too, or eight; null for what is none.
function numbers(address) {
    let text = address;
    // Alone, or at the end of an IPv6 address.
    const dotted = /^(.*:)?(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address);
    if (dotted) {
        const two = pair(dotted.slice(2));
        if (!dotted[1]) {
            return two;
        }
        text = `${dotted[1]}${two[0].toString(16)}:${two[1].toString(16)}`;
    }
    const halves = text.split('::');
    let found = hexadecimal(halves[0]);
    if (halves.length === 2) {
        const tail = hexadecimal(halves[1]);
        found = found.concat([0, 0, 0, 0, 0, 0, 0, 0].slice(found.length + tail.length), tail);
    }
    if (found.length !== 8 || !found.every((number) => number < 65536)) {
        return null;
    }
    return found.slice(0, 6).join() === '0,0,0,0,0,65535' ? found.slice(6) : found;
}

// Whether an address, in numbers, belongs to `network`, written as plugins/module_utils/edge/record.py does: address/length.
function inside(client, network) {
    const parts = network.split('/');
    if ((parts[0].indexOf(':') >= 0) !== (client.length === 8) || !/^\d+$/.test(parts[1])) {
        return false;
    }
    const base = numbers(parts[0]);
    return Boolean(base) && base.length === client.length && client.every((number, at) => {
        const free = 16 - Math.min(16, Math.max(0, parts[1] - 16 * at));
        return number >> free === base[at] >> free;
    });
}

// Whether a client is allowed during maintenance.
function admits(maintenance, address) {
    const client = numbers(address);
    const networks = Array.isArray(maintenance.allow) ? EDGE.concat(maintenance.allow) : EDGE;
    return Boolean(client) && networks.some((network) => inside(client, network));
}

function escape(text) {
    const names = {'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;'};
    return text.replace(/[&<>"']/g, (letter) => names[letter]);
}

function page(message) {
    return `<!doctype html>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Maintenance</title>
<style>
  body { margin: 20vh auto; max-width: 36rem; padding: 0 1.5rem; font: 1.125rem/1.5 system-ui, sans-serif; }
  p { white-space: pre-line; }
</style>
<h1>Maintenance</h1>
<p>${escape(message)}</p>
`;
}

// As a page for those who can show one, else as text. The request's body has been read by then, so the connection stays.
function answer(r, maintenance) {
    const html = /\btext\/html\b/i.test(r.headersIn.Accept || '');
    r.headersOut['Retry-After'] = `${maintenance.retry_after}`;
    r.headersOut['Cache-Control'] = 'no-store';
    r.headersOut['Vary'] = 'Accept';
    r.headersOut['Content-Type'] = `text/${html ? 'html' : 'plain'}; charset=utf-8`;
    r.return(503, html ? page(maintenance.message) : `${maintenance.message}\n`);
}

export default {admits, answer};
