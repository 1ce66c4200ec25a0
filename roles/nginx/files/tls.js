// SPDX-License-Identifier: Apache-2.0
// managed by sluice.stack
//
// Certificates: which file a handshake uses, and the answer to an ACME server. The files are written by sluice-certificates
// (role edge_tls).
import fs from 'fs';

const CERTIFICATES = '/var/lib/sluice-tls';
const CHALLENGE = '/.well-known/acme-challenge/';

// The file with the certificate and the key of a server: its name's own, or the wildcard's; for the server of any name ("_") the
// default; '' without one.
// "live.pem" is a link, resolved here: Nginx opens the file twice, for the certificate and for the key, and a new one may
// come in between.
function live(name) {
    const folders = name === '_' ? ['default'] : [name, `_${name.slice(name.indexOf('.'))}`];
    for (let i = 0; i < folders.length; i++) {
        try {
            return fs.realpathSync(`${CERTIFICATES}/${folders[i]}/live.pem`);
        } catch (e) {
            // The next one, or none.
        }
    }
    return '';
}

function certificate(r) {
    return live(r.variables.server_name) || `${CERTIFICATES}/placeholder.pem`;
}

// Whether a request over HTTP is sent on to HTTPS: not before browsers can use that.
function redirects(r) {
    return live(r.variables.server_name) && !r.uri.startsWith(CHALLENGE) ? '1' : '';
}

// HTTP-01 of RFC 8555, 8.3: the token and the thumbprint of the account's key. The edges share the account, so each of them can answer
// for any token, and nothing has to reach the right edge first.
function challenge(r) {
    const token = r.uri.slice(CHALLENGE.length);
    let thumbprint = '';
    try {
        thumbprint = fs.readFileSync(`${CERTIFICATES}/thumbprint`, 'utf8').trim();
    } catch (e) {
        // No account yet.
    }
    r.headersOut['Content-Type'] = 'text/plain';
    if (!thumbprint || !/^[A-Za-z0-9_-]+$/.test(token)) {
        r.return(404, 'Not found.\n');
        return;
    }
    r.return(200, `${token}.${thumbprint}`);
}

export default {certificate, redirects, challenge};
