// SPDX-License-Identifier: Apache-2.0
// The edge's split: which slot of an app answers a request.
//
// One record per app, {confirmed, pending, deadline, token, seq}, is kept in a dictionary that all workers share and
// in a file that survives a restart. A flip changes the dictionary: no reload, no request dropped. After its deadline
// a pending release does not count any more, so an unconfirmed flip undoes itself here, with nothing else running.
import fs from 'fs';

const RECORDS = '/var/lib/sluice-edge';
const records = ngx.shared.sluice;

// The record of an app. The dictionary is empty after a restart, or when its size was changed: the file fills it.
function read(app) {
    let text = records.get(app);
    if (text === undefined) {
        try {
            text = fs.readFileSync(`${RECORDS}/${app}.json`, 'utf8');
        } catch (e) {
            return {};
        }
        // Another worker, or a flip, may have been first: theirs counts.
        records.add(app, text);
        text = records.get(app);
    }
    return JSON.parse(text);
}

function choose(record, bucket) {
    const pending = record.pending;
    if (pending && Date.now() < record.deadline * 1000 && bucket < pending.percent) {
        return pending;
    }
    return record.confirmed || null;
}

// A visitor's place among a hundred, the same on every edge: from the cookie that $sluice_visitor sets. Raising the
// share of a pending release only adds visitors to it.
function bucket(r) {
    const visitor = r.variables.cookie_sluice_visitor || r.variables.request_id;
    let hash = 5381;
    for (let i = 0; i < visitor.length; i++) {
        hash = (hash * 33 + visitor.charCodeAt(i)) % 4294967296;
    }
    return hash % 100;
}

// "slot release" for this request, or "". Nginx keeps a js_set variable's value for the whole request, so everything
// below agrees even when a flip happens in between.
function choice(r) {
    const app = r.variables.sluice_app;
    const record = app ? read(app) : {};
    const whole = !record.pending || record.pending.percent >= 100;
    const chosen = choose(record, whole ? 0 : bucket(r));
    return chosen ? `${chosen.slot} ${chosen.release}` : '';
}

function slot(r) {
    return r.variables.sluice_choice.split(' ')[0];
}

function release(r) {
    return r.variables.sluice_choice.split(' ')[1] || '';
}

function name(r, wanted) {
    return wanted ? `sluice_${r.variables.sluice_app}_${r.variables.sluice_service}_${wanted}` : '';
}

function upstream(r) {
    return name(r, slot(r));
}

function other_upstream(r) {
    const chosen = slot(r);
    return name(r, chosen === 'blue' ? 'green' : chosen === 'green' ? 'blue' : '');
}

// Only while a flip has a part of the visitors does anybody need a cookie.
function visitor_cookie(r) {
    const record = read(r.variables.sluice_app);
    if (!record.pending || record.pending.percent >= 100 || r.variables.cookie_sluice_visitor) {
        return '';
    }
    return `sluice_visitor=${r.variables.request_id}; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax`;
}

// The control endpoint, on a Unix socket of root's. The file is written by whoever calls; this is the dictionary.
//   GET  /split/<app>    the record held, and what a request would be sent to now
//   PUT  /split/<app>    hold another record; an older one is refused
//   GET  /config/<app>   the fingerprint of the app's configuration that this worker runs
function control(r) {
    const parts = r.uri.split('/');
    const app = parts[2];
    if (parts[1] === 'config') {
        return answer(r, 200, {fingerprint: r.variables[`sluice_config_${app.replace(/-/g, '_')}`] || ''});
    }
    if (r.method === 'PUT') {
        const wanted = JSON.parse(r.requestText);
        const held = read(app);
        if (wanted.token < held.token || (wanted.token === held.token && wanted.seq < held.seq)) {
            return answer(r, 409, {error: `record ${held.token}.${held.seq} is newer than ${wanted.token}.${wanted.seq}`});
        }
        records.set(app, r.requestText);
    }
    const record = read(app);
    answer(r, 200, {record: record, now: choose(record, 99), tried: choose(record, 0)});
}

function answer(r, status, body) {
    r.headersOut['Content-Type'] = 'application/json';
    r.return(status, JSON.stringify(body));
}

export default {choice, slot, release, upstream, other_upstream, visitor_cookie, control};
