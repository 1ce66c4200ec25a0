// SPDX-License-Identifier: Apache-2.0
// managed by sluice.stack
//
// The split: which slot of an app answers a request.
//
// One record per app, {confirmed, pending, deadline, maintenance, token, seq}, is kept in a file that survives a restart,
// and in a dictionary that all workers share. A change writes the file first and then the dictionary: no reload,
// no dropped request. After the deadline a pending release no longer counts, so an unconfirmed flip reverts automatically
// here, with nothing else running.
import fs from 'fs';
import maintenance from 'maintenance.js';

const RECORDS = '/var/lib/sluice-edge';
const CONFIGS = '/etc/nginx/sluice';
const held = ngx.shared.sluice;

// The text of an app's file; empty when it was never deployed.
function fileText(app) {
    try {
        return fs.readFileSync(`${RECORDS}/${app}.json`, 'utf8');
    } catch (e) {
        if (e.code !== 'ENOENT') {
            ngx.log(ngx.ERR, `sluice: ${RECORDS}/${app}.json cannot be read: ${e.message}`);
        }
        return '';
    }
}

// A record from text; null when there is none. A damaged one must not break the requests of an app that is served.
function parse(text) {
    if (!text) {
        return null;
    }
    try {
        return JSON.parse(text);
    } catch (e) {
        ngx.log(ngx.ERR, `sluice: a record is not JSON: ${e.message}`);
        return null;
    }
}

// Negative when `a` is older than `b`: the token orders runs, seq the changes within one.
function compare(a, b) {
    return a.token - b.token || a.seq - b.seq;
}

function alive(record) {
    return Boolean(record.pending) && Date.now() < record.deadline * 1000;
}

// The current record, or null.
function current(app) {
    let text = held.get(app);
    if (text === undefined) {
        // After a restart, or a change of the zone's size, the file fills the dictionary. `add`, not `set`: a flip that
        // came in between is newer.
        text = fileText(app);
        if (text) {
            try {
                held.add(app, text);
            } catch (e) {
                // The zone is full: then every request reads the file, and is answered all the same.
                ngx.log(ngx.ERR, `sluice: ${app} is not remembered, raise nginx_split_zone_size: ${e.message}`);
            }
        }
        return parse(text);
    }
    const record = parse(text);
    if (record && record.pending && !alive(record)) {
        // A flip ran out. The file may know better: a run can die after it wrote its confirmation to the file and before
        // it told the dictionary. Nothing is written back here, since that could overwrite a newer record.
        const filed = parse(fileText(app));
        if (filed && compare(filed, record) > 0) {
            return filed;
        }
    }
    return record;
}

// Where requests go: [{release, slot, percent}, ...], the pending release first; empty when nothing is live.
function shares(record) {
    const found = [];
    if (!record) {
        return found;
    }
    const percent = alive(record) ? record.pending.percent : 0;
    if (percent > 0) {
        found.push({release: record.pending.release, slot: record.pending.slot, percent: percent});
    }
    if (record.confirmed && percent < 100) {
        found.push({release: record.confirmed.release, slot: record.confirmed.slot, percent: 100 - percent});
    }
    return found;
}

// A client's bucket, 0 to 99. It depends only on the cookie, so every edge agrees on it, and a larger share only
// adds clients. plugins/module_utils/edge/verify.py has the same function.
function bucket(visitor) {
    let hash = 5381;
    for (let i = 0; i < visitor.length; i++) {
        hash = (hash * 33 + visitor.charCodeAt(i)) % 4294967296;
    }
    return hash % 100;
}

// "slot release" and, when a client's cookie decides, "split"; without a slot and a release "maintenance", for clients
// that are not allowed; "" when nothing is live.
function choice(r) {
    const app = r.variables.sluice_app;
    const record = app ? current(app) : null;
    if (record && record.maintenance && !maintenance.admits(record.maintenance, r.variables.remote_addr)) {
        return '  maintenance';
    }
    const found = shares(record);
    if (found.length === 0) {
        return '';
    }
    if (found.length === 1) {
        return `${found[0].slot} ${found[0].release}`;
    }
    // A tester says which: of these two, since nothing may be running in a slot that serves nobody.
    const wanted = found.filter((share) => share.slot === r.variables.http_x_sluice_slot);
    if (wanted.length > 0) {
        return `${wanted[0].slot} ${wanted[0].release}`;
    }
    // Without the cookie yet: the id that visitor_cookie is about to give.
    const visitor = r.variables.cookie_sluice_visitor || r.variables.request_id;
    const chosen = bucket(visitor) < found[0].percent ? found[0] : found[1];
    return `${chosen.slot} ${chosen.release} split`;
}

// A part of what was chosen for this request. Each app's server stores the choice once: evaluated anew, it would be another
// one after a flip, and a request would have its upstream from one slot and its log line from the other.
function part(r, index) {
    return (r.variables.sluice_chosen || '').split(' ')[index] || '';
}

function slot(r) {
    return part(r, 0);
}

function release(r) {
    return part(r, 1);
}

function upstream(r) {
    const chosen = slot(r);
    return chosen ? `sluice_${r.variables.sluice_app}_${r.variables.sluice_service}_${chosen}` : '';
}

// Where a file of the release before, or of the one after, may be. The upstream has a name of its own: a slot that is
// asked there while it is empty must not count as failing when it is flipped to.
function other_upstream(r) {
    const other = {blue: 'green', green: 'blue'}[slot(r)];
    const service = r.variables.sluice_other_service;
    return other && service ? `sluice_${r.variables.sluice_app}_${service}_${other}_other` : '';
}

// Clients need the cookie only during a canary.
function visitor_cookie(r) {
    if (part(r, 2) !== 'split' || r.variables.cookie_sluice_visitor) {
        return '';
    }
    const secure = r.variables.https ? '; Secure' : '';
    return `sluice_visitor=${r.variables.request_id}; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax${secure}`;
}

// A word that only root can ask for, through the control socket; a new one after a restart of Nginx.
const PASS = '!pass'; // no app's name

function pass() {
    held.add(PASS, Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('hex'));
    return held.get(PASS);
}

// Whether a request is the edge's own, a deploy's check of a release: it is not counted, and asked for no password. Its address alone
// would not tell, since a tunnel or proxy on this host has the same.
function own(r) {
    const given = r.variables.http_x_sluice_pass;
    const near = ['127.0.0.1', '::1'].includes(r.variables.realip_remote_addr);
    return given && near && given === held.get(PASS) ? 'own' : '';
}

// The request's URL for the log: a query may hold a token, so only values of the names in nginx_log_query_values are kept.
function logged_uri(r) {
    const uri = r.variables.request_uri || '';
    const at = uri.indexOf('?');
    if (at < 0) {
        return uri;
    }
    const kept = r.variables.sluice_log_kept.split(' ').filter((name) => name);
    const query = uri.slice(at + 1).split('&').map((part) => {
        const end = part.indexOf('=');
        if (end < 0) {
            return part && !kept.includes(part) ? '*' : part;
        }
        const name = part.slice(0, end);
        return kept.includes(name) ? part : `${name}=*`;
    });
    return `${uri.slice(0, at)}?${query.join('&')}`;
}

// What no slot answers: the app is in maintenance, or nothing is live. The whole request has been read by now, which can
// take longer than what was left of the maintenance.
function unavailable(r) {
    if (part(r, 2) === 'maintenance') {
        const record = current(r.variables.sluice_app);
        maintenance.answer(r, (record && record.maintenance) || {message: 'Please try again.', retry_after: 1});
        return;
    }
    r.headersOut['Content-Type'] = 'text/plain';
    r.headersOut['Retry-After'] = '10';
    r.return(503, 'No release is live yet.\n');
}

// A request for a host name that no app has. Without any app the answer will soon be another one: 503. With one, this
// name is not served here, and most who ask only look for something to attack: the connection is closed (444).
function stranger(r) {
    r.headersOut['Content-Type'] = 'text/plain';
    if (fs.readdirSync(CONFIGS).some((name) => name.endsWith('.conf'))) {
        r.return(444);
        return;
    }
    r.headersOut['Retry-After'] = '10';
    r.return(503, 'Nothing is served here yet.\n');
}

// The control endpoint, on a Unix socket of root's.
//   GET  /split/<app>    the dictionary's record, and what it means now
//   PUT  /split/<app>    keep another record; an older one is refused
//   DELETE /split/<app>  forget an app whose file is gone
//   GET  /config/<app>   the fingerprint of the app's configuration that this worker runs
//   POST /pass           the word that makes a request the edge's own
function control(r) {
    if (r.method === 'POST' && r.uri === '/pass') {
        reply(r, 200, {pass: pass()});
        return;
    }
    const parts = r.uri.split('/');
    const app = parts[2];
    const call = `${r.method} ${parts[1]}`;
    if (parts.length !== 3 || !/^[a-z][a-z0-9-]*$/.test(app)) {
        reply(r, 404, {error: `${r.uri} is neither /split/<app> nor /config/<app>`});
    } else if (call === 'GET config') {
        reply(r, 200, {fingerprint: r.variables[`sluice_config_${app.replace(/-/g, '_')}`] || ''});
    } else if (call === 'PUT split') {
        put(r, app);
    } else if (call === 'DELETE split') {
        forget(r, app);
    } else if (call === 'GET split') {
        show(r, app);
    } else {
        reply(r, 405, {error: `${r.method} ${r.uri} is not known`});
    }
}

function put(r, app) {
    const wanted = parse(r.requestText);
    if (!wanted || wanted.app !== app || !Number.isInteger(wanted.token) || !Number.isInteger(wanted.seq)) {
        reply(r, 400, {error: `this is not a record of ${app}`});
        return;
    }
    const before = parse(held.get(app));
    if (before && compare(wanted, before) < 0) {
        reply(r, 409, {
            error: `Nginx has record ${before.token}.${before.seq} of ${app}, which is newer than ${wanted.token}.${wanted.seq}`,
        });
        return;
    }
    try {
        held.set(app, r.requestText);
    } catch (e) {
        reply(r, 507, {error: `no room for another record, raise nginx_split_zone_size: ${e.message}`});
        return;
    }
    show(r, app);
}

// An app of the same name may come later, and its record begins anew.
function forget(r, app) {
    if (fileText(app)) {
        reply(r, 409, {error: `${RECORDS}/${app}.json is there: remove it first`});
        return;
    }
    held.delete(app);
    show(r, app);
}

function show(r, app) {
    const record = current(app);
    reply(r, 200, {
        record: parse(held.get(app)),
        shares: shares(record),
        maintenance: (record && record.maintenance) || null,
        time: Date.now() / 1000,
    });
}

function reply(r, status, body) {
    r.headersOut['Content-Type'] = 'application/json';
    r.return(status, JSON.stringify(body));
}

export default {choice, slot, release, upstream, other_upstream, visitor_cookie, own, logged_uri, unavailable, stranger, control};
